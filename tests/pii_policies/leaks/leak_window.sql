-- caught: raw_app.users.email → leak_window.previous
select lag(email) over (partition by tenant_id order by created_at) as previous from {{ source('raw_app', 'users') }}
