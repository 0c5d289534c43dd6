-- caught: raw_app.users.email → leak_lateral.part
select part.word as part from {{ source('raw_app', 'users') }} as people, lateral (select split_part(people.email, '@', 1) as word) as part
