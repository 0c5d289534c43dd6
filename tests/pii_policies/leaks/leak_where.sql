-- caught: raw_app.users.email → leak_where (where only)
select tenant_id from {{ source('raw_app', 'users') }} where email like 'a%'
