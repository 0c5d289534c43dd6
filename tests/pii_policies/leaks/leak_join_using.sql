-- caught: raw_app.users.email → leak_join_using (join only)
select one.tenant_id from {{ source('raw_app', 'users') }} as one inner join {{ source('raw_app', 'users') }} as other using (email)
