-- caught: raw_app.users.phone → leak_star_except.phone
select * exclude (email, full_name, id, last_login_ip) from {{ source('raw_app', 'users') }}
