-- Grain: one row per payment_id: charges, and refunds as negative amounts.

with

payments as (

    select * from {{ ref('int_payments') }}

),

final as (

    select
        tenant_id,
        customer_id,
        payment_id,
        kind,
        charge_id,
        {{ utc_day('occurred_at') }} as day,
        currency,
        case when is_settled then amount else 0 end as amount,
        amount as amount_asked,
        is_settled,
        status,
        reason
    from payments

)

select * from final
