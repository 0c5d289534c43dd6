-- caught: raw_app.users.email → leak_except (except only)
select name from {{ ref('stg_app__tenants') }} except select email from {{ source('raw_app', 'users') }}
