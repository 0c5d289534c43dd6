-- caught: raw_app.users.full_name → leak_dropped_though_treated.name
select {{ mask('full_name') }} as name from {{ source('raw_app', 'users') }}
