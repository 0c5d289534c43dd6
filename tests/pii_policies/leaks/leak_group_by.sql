-- caught: raw_app.users.last_login_ip → leak_group_by (group by only)
select tenant_id, count(*) as users from {{ source('raw_app', 'users') }} group by tenant_id, last_login_ip
