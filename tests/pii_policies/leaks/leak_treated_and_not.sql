-- caught: raw_app.users.last_login_ip → leak_treated_and_not.network
select coalesce({{ generalise_network('last_login_ip') }}, last_login_ip) as network from {{ source('raw_app', 'users') }}
