-- caught: raw_app.users.full_name → leak_having (having only)
select tenant_id from {{ source('raw_app', 'users') }} group by tenant_id having max(full_name) > 'M'
