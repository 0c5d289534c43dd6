-- caught: raw_app.users.email → leak_join (join only)
select contacts.tenant_id, count(*) as matches from {{ ref('stg_hubspot__contacts') }} as contacts inner join {{ source('raw_app', 'users') }} as people on contacts.email = people.email group by contacts.tenant_id
