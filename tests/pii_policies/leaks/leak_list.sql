-- caught: raw_app.users.email → leak_list.all_of_them
select tenant_id, list(email) as all_of_them from {{ source('raw_app', 'users') }} group by tenant_id
