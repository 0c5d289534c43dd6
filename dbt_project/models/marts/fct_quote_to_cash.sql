-- Grain: one row per crm and opportunity_id that was won: the subscription, the invoice and the money that followed, or
-- where the chain breaks.

with

opportunities as (

    select * from {{ ref('int_opportunities') }}
    where
        outcome = 'won'
        and not is_deleted

),

subscriptions as (

    select * from {{ ref('int_subscriptions') }}

),

movements as (

    select * from {{ ref('fct_mrr_movements') }}

),

invoices as (

    select * from {{ ref('fct_invoices') }}

),

-- The change of MRR nearest to the closing, in the window; a deal is a new customer or more from one.
first_moves as (

    select
        opportunities.crm,
        opportunities.opportunity_id,
        movements.customer_id,
        movements.day as mrr_moved_on,
        movements.movement_type,
        movements.mrr_change
    from opportunities
    inner join movements
        on
            opportunities.tenant_id = movements.tenant_id
            and movements.movement_type in ('new', 'expansion', 'reactivation')
            and movements.day between opportunities.close_date - {{ var('quote_to_cash_days') }}
            and opportunities.close_date + {{ var('quote_to_cash_days') }}
    where opportunities.tenant_id <> 'unattributed'
    qualify row_number() over (
        partition by opportunities.crm, opportunities.opportunity_id
        order by abs(movements.day - opportunities.close_date), movements.day, movements.customer_id
    ) = 1

),

first_invoices as (

    select
        first_moves.crm,
        first_moves.opportunity_id,
        invoices.invoice_id,
        invoices.status,
        invoices.finalized_on,
        invoices.paid_on,
        invoices.amount_paid
    from first_moves
    inner join invoices
        on
            first_moves.customer_id = invoices.customer_id
            and first_moves.mrr_moved_on <= invoices.finalized_on
            and invoices.total > 0
    qualify row_number() over (
        partition by first_moves.crm, first_moves.opportunity_id order by invoices.finalized_on, invoices.invoice_id
    ) = 1

),

subscribers as (

    select distinct tenant_id
    from subscriptions

),

final as (

    select
        opportunities.tenant_id,
        opportunities.crm,
        opportunities.opportunity_id,
        opportunities.amount,
        opportunities.currency,
        opportunities.close_date,
        first_moves.customer_id,
        first_moves.movement_type,
        first_moves.mrr_moved_on,
        first_moves.mrr_change,
        first_invoices.invoice_id,
        first_invoices.finalized_on as invoiced_on,
        first_invoices.paid_on,
        first_invoices.amount_paid,
        case
            when opportunities.tenant_id = 'unattributed' then 'no tenant'
            when subscribers.tenant_id is null then 'no subscription'
            when first_moves.opportunity_id is null then 'no change of MRR'
            when first_invoices.opportunity_id is null then 'not invoiced'
            when first_invoices.paid_on is null then 'not paid'
            else 'complete'
        end as standing,
        cast(first_invoices.paid_on - opportunities.close_date as bigint) as days_to_cash
    from opportunities
    left join subscribers on opportunities.tenant_id = subscribers.tenant_id
    left join first_moves
        on
            opportunities.crm = first_moves.crm
            and opportunities.opportunity_id = first_moves.opportunity_id
    left join first_invoices
        on
            opportunities.crm = first_invoices.crm
            and opportunities.opportunity_id = first_invoices.opportunity_id

)

select * from final
