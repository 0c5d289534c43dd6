-- Grain: one row per movement of money with a customer: a charge, a refund of one (negative), what a dispute took
-- (negative), and what a dispute that was won gave back.
{{ config(materialized='table') }}

with

charges as (

    select * from {{ ref('stg_stripe__charges') }}

),

refunds as (

    select * from {{ ref('stg_stripe__refunds') }}

),

disputes as (

    select * from {{ ref('int_disputes') }}

),

tenant_matches as (

    select * from {{ ref('int_tenant_matches') }}

),

movements as (

    select
        tenant_id,
        customer as customer_id,
        id as payment_id,
        'charge' as kind,
        id as charge_id,
        currency,
        amount_captured as amount,
        status = 'succeeded' and coalesce(captured, false) as is_settled,
        status,
        failure_code as reason,
        created as occurred_at
    from charges
    where not is_deleted

    union all

    select
        refunds.tenant_id,
        charges.customer as customer_id,
        refunds.id as payment_id,
        'refund' as kind,
        refunds.charge as charge_id,
        refunds.currency,
        -refunds.amount as amount,
        refunds.status = 'succeeded' as is_settled,
        refunds.status,
        refunds.reason,
        refunds.created as occurred_at
    from refunds
    left join charges on refunds.charge = charges.id
    where not refunds.is_deleted

    union all

    select
        tenant_id,
        customer_id,
        dispute_id as payment_id,
        'dispute' as kind,
        charge_id,
        currency,
        -amount as amount,
        outcome <> 'warning' as is_settled,
        status,
        reason,
        opened_at as occurred_at
    from disputes

    union all

    select
        tenant_id,
        customer_id,
        dispute_id || '/won' as payment_id,
        'dispute won' as kind,
        charge_id,
        currency,
        amount,
        true as is_settled,
        status,
        reason,
        coalesce(closed_at, opened_at) as occurred_at
    from disputes
    where outcome = 'won'

),

final as (

    select
        coalesce(tenant_matches.tenant_id, movements.tenant_id) as tenant_id,
        movements.customer_id,
        movements.payment_id,
        movements.kind,
        movements.charge_id,
        movements.currency,
        movements.amount,
        movements.is_settled,
        movements.status,
        movements.reason,
        movements.occurred_at
    from movements
    left join tenant_matches
        on
            tenant_matches.system = 'stripe'
            and movements.customer_id = tenant_matches.external_id

)

select * from final
