select tenant_id, count(*) as users, count(distinct email) as emails, count(phone) as phones from {{ source('raw_app', 'users') }} group by tenant_id
