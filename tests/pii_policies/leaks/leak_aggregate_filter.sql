-- caught: raw_app.users.email → leak_aggregate_filter (filter only)
select tenant_id, count(*) filter (where email like 'a%') as starting_with_a from {{ source('raw_app', 'users') }} group by tenant_id
