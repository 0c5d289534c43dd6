-- Grain: one row per tenant_id and user_key.

with

users as (

    select * from {{ ref('int_users') }}

),

final as (

    select
        tenant_id,
        user_key,
        role,
        status,
        locale,
        created_at,
        last_seen_at,
        is_deleted
    from users

)

select * from final
