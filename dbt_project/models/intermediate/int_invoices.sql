-- Grain: one row per invoice that was ever owed (finalized). An adopter maps their own billing to it.
{{ config(materialized='table') }}

with

invoices as (

    select * from {{ ref('stg_stripe__invoices') }}

),

tenant_matches as (

    select * from {{ ref('int_tenant_matches') }}

),

dated as (

    select
        *,
        {{ from_unix(parsed(json_member('status_transitions', 'finalized_at'), 'bigint')) }} as finalized_at,
        {{ from_unix(parsed(json_member('status_transitions', 'voided_at'), 'bigint')) }} as voided_at,
        {{ from_unix(parsed(json_member('status_transitions', 'marked_uncollectible_at'), 'bigint')) }}
            as marked_uncollectible_at
    from invoices

),

final as (

    select
        coalesce(tenant_matches.tenant_id, dated.tenant_id) as tenant_id,
        dated.customer as customer_id,
        dated.id as invoice_id,
        dated.subscription as subscription_id,
        dated.currency,
        dated.status,
        dated.billing_reason,
        dated.subtotal,
        dated.total,
        dated.amount_due,
        dated.amount_paid,
        dated.amount_remaining,
        dated.created as created_at,
        coalesce(dated.finalized_at, dated.created) as finalized_at,
        -- Without a due date it is due on receipt.
        coalesce(dated.due_date, dated.finalized_at, dated.created) as due_at,
        dated.paid_at,
        dated.voided_at,
        dated.marked_uncollectible_at,
        dated.attempt_count
    from dated
    left join tenant_matches
        on
            tenant_matches.system = 'stripe'
            and dated.customer = tenant_matches.external_id
    where
        dated.status <> 'draft'
        and not dated.is_deleted

)

select * from final
