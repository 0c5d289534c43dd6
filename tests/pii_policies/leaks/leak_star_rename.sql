-- caught: raw_app.users.email → leak_star_rename.contact
select * exclude (id, full_name, phone, last_login_ip) rename (email as contact) from {{ source('raw_app', 'users') }}
