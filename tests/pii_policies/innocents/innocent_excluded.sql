select * exclude (id, email, full_name, phone, last_login_ip, _airbyte_meta) from {{ source('raw_app', 'users') }}
