with everything as (select * from {{ source('raw_app', 'users') }}) select tenant_id, role, created_at from everything
