-- Grain: one row per tenant_id, workspace_id and user_key. Who works where; one without a pseudonym has no row.
{{ config(materialized='view') }}

with

workspace_members as (

    select * from {{ ref('stg_app__workspace_members') }}

),

workspaces as (

    select * from {{ ref('stg_app__workspaces') }}

),

final as (

    select
        workspace_members.tenant_id,
        workspace_members.workspace_id,
        workspace_members.user_id as user_key,
        workspace_members.role,
        workspace_members.joined_at,
        workspace_members.is_deleted or coalesce(workspaces.is_deleted, false) as is_deleted
    from workspace_members
    left join workspaces
        on
            workspace_members.tenant_id = workspaces.tenant_id
            and workspace_members.workspace_id = workspaces.id
    where workspace_members.user_id is not null

)

select * from final
