-- Grain: one row per tenant_id and user_key. A user whose tenant's key was destroyed has no pseudonym and no row.
{{ config(materialized='view') }}

with

users as (

    select * from {{ ref('stg_app__users') }}

),

final as (

    select
        tenant_id,
        id as user_key,
        role,
        status,
        locale,
        created_at,
        last_seen_at,
        is_deleted
    from users
    where id is not null

)

select * from final
