select {{ generalise_network('source.last_login_ip') }} as last_login_ip from {{ source('raw_app', 'users') }} as source
