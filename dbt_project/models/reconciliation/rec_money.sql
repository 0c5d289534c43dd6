-- Grain: one row per comparison and object_id: a movement of money as one record tells it beside another record's word.
-- A break is a row whose sides differ; a side of which there is no record is null.
-- It reads the whole history, narrowly: a record that never came shows nowhere else.

with

invoices as (

    select * from {{ ref('int_invoices') }}

),

charges as (

    select * from {{ ref('int_payments') }}
    where kind = 'charge' and is_settled

),

refunds as (

    select * from {{ ref('int_payments') }}
    where kind = 'refund' and is_settled

),

disputes as (

    select * from {{ ref('int_disputes') }}
    where outcome <> 'warning'

),

staged_charges as (

    select * from {{ ref('stg_stripe__charges') }}
    where not is_deleted

),

balance_transactions as (

    select
        *,
        source as source_id
    from {{ ref('stg_stripe__balance_transactions') }}
    where not is_deleted

),

-- No landed record names the charge that paid an invoice: of a customer, the first payment of an amount is the first
-- charge of that amount, and so on.
paid_invoices as (

    select
        *,
        row_number() over (
            partition by customer_id, currency, amount_paid order by paid_at, invoice_id
        ) as number
    from invoices
    where amount_paid > 0

),

numbered_charges as (

    select
        *,
        row_number() over (
            partition by customer_id, currency, amount order by occurred_at, payment_id
        ) as number
    from charges
    where amount > 0

),

balance_by_source as (

    select
        source_id,
        max(tenant_id) as tenant_id,
        max(currency) as currency,
        sum(amount) as amount
    from balance_transactions
    where source_id is not null
    group by source_id

),

refunds_by_charge as (

    select
        charge_id,
        -sum(amount) as amount
    from refunds
    group by charge_id

),

-- Only of what the balance keeps in the currency of the customer: a converted amount is another figure.
compared as (

    select
        'invoice to charge' as comparison,
        coalesce(paid_invoices.tenant_id, numbered_charges.tenant_id) as tenant_id,
        coalesce(paid_invoices.customer_id, numbered_charges.customer_id) as customer_id,
        coalesce(paid_invoices.currency, numbered_charges.currency) as currency,
        coalesce(paid_invoices.invoice_id, numbered_charges.payment_id) as object_id,
        numbered_charges.payment_id as other_id,
        paid_invoices.amount_paid as one_side,
        numbered_charges.amount as other_side
    from paid_invoices
    full outer join numbered_charges
        on
            paid_invoices.customer_id = numbered_charges.customer_id
            and paid_invoices.currency = numbered_charges.currency
            and paid_invoices.amount_paid = numbered_charges.amount
            and paid_invoices.number = numbered_charges.number

    union all

    select
        'charge to balance' as comparison,
        charges.tenant_id,
        charges.customer_id,
        charges.currency,
        charges.payment_id as object_id,
        balance_by_source.source_id as other_id,
        charges.amount as one_side,
        balance_by_source.amount as other_side
    from charges
    left join balance_by_source on charges.payment_id = balance_by_source.source_id
    where charges.amount > 0 and coalesce(balance_by_source.currency, charges.currency) = charges.currency

    union all

    select
        'refund to balance' as comparison,
        refunds.tenant_id,
        refunds.customer_id,
        refunds.currency,
        refunds.payment_id as object_id,
        balance_by_source.source_id as other_id,
        refunds.amount as one_side,
        balance_by_source.amount as other_side
    from refunds
    left join balance_by_source on refunds.payment_id = balance_by_source.source_id
    where coalesce(balance_by_source.currency, refunds.currency) = refunds.currency

    union all

    select
        'charge to refunds' as comparison,
        charges.tenant_id,
        charges.customer_id,
        charges.currency,
        charges.payment_id as object_id,
        refunds_by_charge.charge_id as other_id,
        staged_charges.amount_refunded as one_side,
        coalesce(refunds_by_charge.amount, 0) as other_side
    from charges
    inner join staged_charges on charges.payment_id = staged_charges.id
    left join refunds_by_charge on charges.payment_id = refunds_by_charge.charge_id
    where staged_charges.amount_refunded > 0 or refunds_by_charge.charge_id is not null

    union all

    -- A dispute that is over has moved its amount out, and back where it was won.
    select
        'dispute to balance' as comparison,
        disputes.tenant_id,
        disputes.customer_id,
        disputes.currency,
        disputes.dispute_id as object_id,
        balance_by_source.source_id as other_id,
        case when disputes.outcome = 'won' then 0 else -disputes.amount end as one_side,
        balance_by_source.amount as other_side
    from disputes
    left join balance_by_source on disputes.dispute_id = balance_by_source.source_id
    where coalesce(balance_by_source.currency, disputes.currency) = disputes.currency

    union all

    -- Money in the balance that no record here explains.
    select
        'balance to its source' as comparison,
        balance_by_source.tenant_id,
        null as customer_id,
        balance_by_source.currency,
        balance_transactions.id as object_id,
        balance_by_source.source_id as other_id,
        null as one_side,
        balance_transactions.amount as other_side
    from balance_transactions
    inner join balance_by_source on balance_transactions.source_id = balance_by_source.source_id
    left join {{ ref('int_payments') }} as payments on balance_by_source.source_id = payments.payment_id
    where
        payments.payment_id is null
        and balance_transactions.type in ('charge', 'payment', 'refund', 'payment_refund', 'adjustment')

),

final as (

    select
        comparison,
        tenant_id,
        customer_id,
        currency,
        object_id,
        other_id,
        cast(one_side as bigint) as one_side,
        cast(other_side as bigint) as other_side,
        cast(coalesce(other_side, 0) - coalesce(one_side, 0) as bigint) as difference,
        -- Said out loud, so that what is null on a side is a break and not an unknown.
        coalesce(one_side <> other_side, true) as is_break,
        cast('{{ invocation_id }}' as varchar) as run_id
    from compared

)

select * from final
