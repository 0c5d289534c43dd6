-- caught: raw_app.users.email → leak_exists (where only)
select tenants.id from {{ ref('stg_app__tenants') }} as tenants where exists (select 1 from {{ source('raw_app', 'users') }} as people where people.email = tenants.slug)
