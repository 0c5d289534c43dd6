-- caught: raw_app.users.full_name → leak_order_by (order by only)
select tenant_id from {{ source('raw_app', 'users') }} order by full_name limit 10
