-- caught: raw_app.users.last_login_ip → leak_half_a_mask.network
select last_login_ip, regexp_replace(last_login_ip, '[.][0-9]+$', '.0/24') as network from {{ source('raw_app', 'users') }}
