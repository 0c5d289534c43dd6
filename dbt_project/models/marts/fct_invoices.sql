-- Grain: one row per invoice_id that was ever finalized: from invoice to cash.

with

invoices as (

    select * from {{ ref('int_invoices') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

credits as (

    select
        invoice_id,
        sum(total) as amount
    from {{ ref('int_credit_notes') }}
    where voided_at is null
    group by invoice_id

),

dated as (

    select
        invoices.*,
        {{ utc_day('invoices.finalized_at') }} as finalized_on,
        {{ utc_day('invoices.due_at') }} as due_on,
        {{ utc_day('invoices.paid_at') }} as paid_on,
        {{ utc_day('coalesce(invoices.voided_at, invoices.marked_uncollectible_at)') }} as given_up_on,
        coalesce(credits.amount, 0) as amount_credited,
        reporting_day.reporting_day
    from invoices
    left join credits on invoices.invoice_id = credits.invoice_id
    cross join reporting_day

),

final as (

    select
        tenant_id,
        customer_id,
        invoice_id,
        subscription_id,
        currency,
        status,
        billing_reason,
        total,
        amount_due,
        amount_paid,
        amount_remaining,
        cast(amount_credited as bigint) as amount_credited,
        finalized_on,
        due_on,
        paid_on,
        given_up_on,
        cast(paid_on - finalized_on as bigint) as days_to_cash,
        cast(
            greatest(coalesce(paid_on, given_up_on, reporting_day) - due_on, 0) as bigint
        ) as days_late,
        attempt_count
    from dated

)

select * from final
