-- caught: raw_app.users.email → leak_in_subquery (where only)
select id from {{ ref('stg_app__tenants') }} where slug in (select email from {{ source('raw_app', 'users') }})
