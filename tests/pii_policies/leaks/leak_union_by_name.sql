-- caught: raw_app.users.email → leak_union_by_name.name
select name from {{ ref('stg_app__tenants') }} union all by name select email as name from {{ source('raw_app', 'users') }}
