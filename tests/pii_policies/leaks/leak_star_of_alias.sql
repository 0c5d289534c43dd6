-- caught: raw_app.users.full_name → leak_star_of_alias.full_name
select people.* from {{ source('raw_app', 'users') }} as people inner join {{ source('raw_app', 'tenants') }} as tenants on people.tenant_id = tenants.id
