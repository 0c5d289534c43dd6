-- caught: raw_app.users.email → leak_qualify (qualify only)
select tenant_id from {{ source('raw_app', 'users') }} qualify max(email) over (partition by tenant_id) = 'a@example.com'
