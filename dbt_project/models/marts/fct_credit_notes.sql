-- Grain: one row per credit_note_id: what invoices were reduced by.

with

credit_notes as (

    select * from {{ ref('int_credit_notes') }}

),

final as (

    select
        tenant_id,
        customer_id,
        credit_note_id,
        invoice_id,
        currency,
        {{ utc_day('credited_at') }} as credited_on,
        {{ utc_day('voided_at') }} as voided_on,
        kind,
        reason,
        cast(case when voided_at is null then total else 0 end as bigint) as amount,
        cast(case when voided_at is null then amount_owed_less else 0 end as bigint) as amount_owed_less,
        cast(case when voided_at is null then amount_given_back else 0 end as bigint) as amount_given_back
    from credit_notes

)

select * from final
