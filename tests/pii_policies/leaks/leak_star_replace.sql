-- caught: raw_app.users.email → leak_star_replace.role
select * exclude (id, email, full_name, phone, last_login_ip) replace (email as role) from {{ source('raw_app', 'users') }}
