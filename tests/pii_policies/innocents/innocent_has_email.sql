select tenant_id, email is not null as has_email from {{ source('raw_app', 'users') }} where phone is null
