-- Grain: one row per dispute_id: charges that the payer contested, and how it ended.

with

disputes as (

    select * from {{ ref('int_disputes') }}

),

final as (

    select
        tenant_id,
        customer_id,
        dispute_id,
        charge_id,
        currency,
        {{ utc_day('opened_at') }} as opened_on,
        {{ utc_day('closed_at') }} as closed_on,
        outcome,
        reason,
        amount,
        cast(amount_withdrawn as bigint) as amount_withdrawn,
        cast(amount_reinstated as bigint) as amount_reinstated,
        cast(fee as bigint) as fee,
        cast(amount_withdrawn - amount_reinstated + fee as bigint) as cost
    from disputes

)

select * from final
