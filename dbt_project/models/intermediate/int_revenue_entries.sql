-- Grain: one row per entry_id: an amount that was billed, or taken back, and the days of service that it is for. Every
-- mart of deferred revenue is made of it: an adopter maps their own billing to it.
-- Built whole on every run: a credit note or a void that lands late belongs to an old invoice, and invoices come by the
-- thousand, not by the million.
{{ config(materialized='table') }}

with

invoices as (

    select * from {{ ref('int_invoices') }}

),

line_items as (

    select * from {{ ref('stg_stripe__invoice_line_items') }}

),

credit_notes as (

    select * from {{ ref('int_credit_notes') }}

),

line_discounts as (

    select
        line_items.id as line_id,
        sum(cast({{ json_member('discount.value', 'amount') }} as bigint)) as amount
    from line_items
    {{ unnest_json('line_items.discount_amounts', 'discount') }}
    group by line_items.id

),

-- Taxes that come on top are no part of a line's amount.
lines as (

    select
        invoices.tenant_id,
        invoices.customer_id,
        invoices.invoice_id,
        invoices.currency,
        invoices.total as invoice_total,
        invoices.finalized_at,
        {{ 'coalesce(invoices.voided_at, invoices.marked_uncollectible_at)'
            if var('uncollectible_reverses_revenue') else 'invoices.voided_at' }} as reversed_at,
        line_items.id as line_id,
        line_items.amount - coalesce(line_discounts.amount, 0) as amount,
        {{ utc_day('coalesce(line_items.period_start, invoices.finalized_at)') }} as service_start,
        {{ utc_day('coalesce(line_items.period_end, invoices.finalized_at)') }} as service_end
    from line_items
    inner join invoices on line_items.invoice = invoices.invoice_id
    left join line_discounts on line_items.id = line_discounts.line_id
    where not line_items.is_deleted

),

-- A credit note takes from each line in proportion: shares of running sums, so that they add up to the cent.
running_lines as (

    select
        *,
        sum(amount) over (
            partition by invoice_id order by line_id rows between unbounded preceding and current row
        ) as running_amount
    from lines

),

credit_shares as (

    select
        running_lines.*,
        credit_notes.credit_note_id,
        credit_notes.credited_at,
        credit_notes.voided_at as credit_voided_at,
        {{ prorated('credit_notes.total', 'running_lines.running_amount', 'running_lines.invoice_total') }}
        - {{ prorated(
            'credit_notes.total',
            '(running_lines.running_amount - running_lines.amount)',
            'running_lines.invoice_total',
        ) }} as credited
    from credit_notes
    inner join running_lines on credit_notes.invoice_id = running_lines.invoice_id
    where running_lines.invoice_total > 0

),

booked as (

    select
        tenant_id,
        customer_id,
        invoice_id,
        line_id,
        line_id as document_id,
        currency,
        'billed' as kind,
        amount,
        finalized_at as booked_at,
        service_start,
        service_end
    from lines

    union all

    select
        tenant_id,
        customer_id,
        invoice_id,
        line_id,
        line_id as document_id,
        currency,
        'voided' as kind,
        -amount as amount,
        reversed_at as booked_at,
        service_start,
        service_end
    from lines
    where reversed_at is not null

    union all

    select
        tenant_id,
        customer_id,
        invoice_id,
        line_id,
        credit_note_id as document_id,
        currency,
        'credited' as kind,
        -credited as amount,
        credited_at as booked_at,
        service_start,
        service_end
    from credit_shares

    union all

    select
        tenant_id,
        customer_id,
        invoice_id,
        line_id,
        credit_note_id as document_id,
        currency,
        'credit voided' as kind,
        credited as amount,
        credit_voided_at as booked_at,
        service_start,
        service_end
    from credit_shares
    where credit_voided_at is not null

),

final as (

    select
        tenant_id,
        customer_id,
        invoice_id,
        line_id,
        document_id,
        kind || '/' || document_id || '/' || line_id as entry_id,
        kind,
        currency,
        cast(amount as bigint) as amount,
        {{ utc_day('booked_at') }} as booked_on,
        service_start,
        -- What is for an instant is for a day.
        cast(greatest(service_end - service_start, 1) as bigint) as service_days
    from booked
    where amount <> 0

)

select * from final
