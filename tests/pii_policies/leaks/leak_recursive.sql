-- caught: raw_app.users.full_name → leak_recursive.trail
with recursive walk as (select id::varchar as node, 0 as depth, '' as trail from {{ source('raw_app', 'users') }} where false union all select walk.node, walk.depth + 1, people.full_name from walk inner join {{ source('raw_app', 'users') }} as people on true where walk.depth < 3) select trail from walk
