-- Grain: one row per credit note: what an invoice was reduced by, before or after it was paid.
{{ config(materialized='table') }}

with

credit_notes as (

    select * from {{ ref('stg_stripe__credit_notes') }}

),

tenant_matches as (

    select * from {{ ref('int_tenant_matches') }}

),

final as (

    select
        coalesce(tenant_matches.tenant_id, credit_notes.tenant_id) as tenant_id,
        credit_notes.customer as customer_id,
        credit_notes.id as credit_note_id,
        credit_notes.invoice as invoice_id,
        credit_notes.currency,
        credit_notes.status,
        credit_notes.type as kind,
        credit_notes.reason,
        credit_notes.total,
        -- Before 2025-03-31 a credit note was all of one kind, and gave no amounts of each.
        coalesce(
            credit_notes.pre_payment_amount,
            case when credit_notes.type = 'pre_payment' then credit_notes.amount else 0 end
        ) as amount_owed_less,
        coalesce(
            credit_notes.post_payment_amount,
            case when credit_notes.type = 'post_payment' then credit_notes.amount else 0 end
        ) as amount_given_back,
        coalesce(credit_notes.effective_at, credit_notes.created) as credited_at,
        credit_notes.voided_at
    from credit_notes
    left join tenant_matches
        on
            tenant_matches.system = 'stripe'
            and credit_notes.customer = tenant_matches.external_id
    where not credit_notes.is_deleted

)

select * from final
