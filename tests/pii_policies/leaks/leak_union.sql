-- caught: raw_app.users.email → leak_union.name
select name from {{ ref('stg_app__tenants') }} union all select email from {{ source('raw_app', 'users') }}
