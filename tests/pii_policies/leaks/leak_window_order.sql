-- caught: raw_app.users.full_name → leak_window_order (window only)
select tenant_id, row_number() over (order by full_name) as place from {{ source('raw_app', 'users') }}
