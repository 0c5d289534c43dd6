-- Grain: one row per dispute of a charge, with what it moved: money goes when it opens and comes back when it is won.
{{ config(materialized='table') }}

with

disputes as (

    select * from {{ ref('stg_stripe__disputes') }}

),

charges as (

    select * from {{ ref('stg_stripe__charges') }}

),

tenant_matches as (

    select * from {{ ref('int_tenant_matches') }}

),

-- The object does not say when it was decided; its event does.
closings as (

    select
        object_id as dispute_id,
        max(created) as closed_at
    from {{ ref('stg_stripe__events') }}
    where type = 'charge.dispute.closed'
    group by object_id

),

balance_transactions as (

    select
        *,
        source as dispute_id
    from {{ ref('stg_stripe__balance_transactions') }}
    where not is_deleted

),

balance_movements as (

    select
        dispute_id,
        -sum(case when amount < 0 then amount else 0 end) as amount_withdrawn,
        sum(case when amount > 0 then amount else 0 end) as amount_reinstated,
        sum(fee) as fee,
        max(case when amount > 0 then created end) as reinstated_at
    from balance_transactions
    group by dispute_id

),

final as (

    select
        coalesce(tenant_matches.tenant_id, disputes.tenant_id) as tenant_id,
        charges.customer as customer_id,
        disputes.id as dispute_id,
        disputes.charge as charge_id,
        disputes.currency,
        disputes.amount,
        disputes.status,
        case
            when disputes.status = 'won' then 'won'
            when disputes.status = 'lost' then 'lost'
            -- An early warning, or one that was closed as such, moved no money.
            when left(disputes.status, 8) = 'warning_' then 'warning'
            else 'open'
        end as outcome,
        disputes.reason,
        disputes.created as opened_at,
        case
            when disputes.status in ('won', 'lost')
                then coalesce(closings.closed_at, balance_movements.reinstated_at)
        end as closed_at,
        coalesce(balance_movements.amount_withdrawn, 0) as amount_withdrawn,
        coalesce(balance_movements.amount_reinstated, 0) as amount_reinstated,
        coalesce(balance_movements.fee, 0) as fee
    from disputes
    left join charges on disputes.charge = charges.id
    left join closings on disputes.id = closings.dispute_id
    left join balance_movements on disputes.id = balance_movements.dispute_id
    left join tenant_matches
        on
            tenant_matches.system = 'stripe'
            and charges.customer = tenant_matches.external_id
    where not disputes.is_deleted

)

select * from final
