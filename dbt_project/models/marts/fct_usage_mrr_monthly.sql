-- Grain: one row per customer_id, currency, month and price_id: what was used of a metered price, and its worth.
-- Apart from MRR, which is agreed in advance. Built whole on every run, from a row per meter, customer and day.

with

meter_summaries as (

    select * from {{ ref('stg_stripe__meter_event_summaries') }}

),

meters as (

    select * from {{ ref('stg_stripe__meters') }}

),

prices as (

    select * from {{ ref('stg_stripe__prices') }}

),

item_periods as (

    select * from {{ ref('int_subscription_item_periods') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

used_days as (

    select
        meter_summaries.customer,
        meter_summaries.meter,
        calendar.day,
        calendar.month,
        calendar.is_provisional,
        coalesce(meters.formula, 'sum') as formula,
        cast(meter_summaries.aggregated_value as decimal(28, 6)) as quantity
    from meter_summaries
    inner join calendar on {{ utc_day('meter_summaries.start_time') }} = calendar.day
    left join meters on meter_summaries.meter = meters.id
    where not meter_summaries.is_deleted

),

metered_items as (

    select
        item_periods.*,
        {{ json_member('prices.recurring', 'meter') }} as meter,
        coalesce(
            {{ parsed('prices.unit_amount_decimal', 'decimal(28, 12)') }},
            cast(item_periods.unit_amount as decimal(28, 12))
        ) as unit_price
    from item_periods
    inner join prices on item_periods.price_id = prices.id
    where item_periods.is_metered and item_periods.is_counted

),

-- What was used on the last day still counts; a price that was swapped on a day leaves the day to the later one.
priced_days as (

    select
        metered_items.tenant_id,
        metered_items.customer_id,
        metered_items.currency,
        metered_items.price_id,
        metered_items.meter,
        metered_items.unit_price,
        used_days.day,
        used_days.month,
        used_days.is_provisional,
        used_days.formula,
        used_days.quantity
    from used_days
    inner join metered_items
        on
            used_days.customer = metered_items.customer_id
            and used_days.meter = metered_items.meter
            and used_days.day >= {{ utc_day('metered_items.valid_from') }}
            and (used_days.day <= {{ utc_day('metered_items.valid_to') }} or metered_items.valid_to is null)
    qualify rank() over (
        partition by metered_items.subscription_id, metered_items.meter, used_days.day
        order by metered_items.valid_from desc
    ) = 1

),

months as (

    select
        tenant_id,
        customer_id,
        currency,
        month,
        price_id,
        meter,
        unit_price,
        is_provisional,
        -- A meter that tells how much there is, and not how much is used, stands at what it told last.
        case when formula = 'last' then max_by(quantity, day) else sum(quantity) end as quantity
    from priced_days
    group by tenant_id, customer_id, currency, month, price_id, meter, unit_price, is_provisional, formula

),

-- In whole numbers: 10^-6 units times 10^-12 minor units.
valued as (

    select
        *,
        cast(
            cast(
                {{ integer_divide(
                    "(cast(quantity * 1000000 as decimal(38, 0)) * cast(unit_price * 1000000000000 as decimal(38, 0))"
                    ~ " + 50000000000000)",
                    "100000000000000",
                ) }} as decimal(18, 0)
            ) * cast(0.0001 as decimal(5, 4)) as decimal(18, 4)
        ) as usage_mrr
    from months

),

final as (

    select
        valued.tenant_id,
        valued.customer_id,
        valued.currency,
        valued.month,
        valued.price_id,
        valued.meter,
        valued.is_provisional,
        cast(valued.quantity as decimal(28, 6)) as quantity,
        cast(valued.unit_price as decimal(28, 12)) as unit_price,
        valued.usage_mrr,
        cast('{{ var("reporting_currency") }}' as varchar) as reporting_currency,
        case
            when fx_rates.rate is null
                then
                    {{ raise_error("'no rate in fx_rates: ' || valued.currency || ', ' || valued.month") }}
            else {{ converted('valued.usage_mrr', 'fx_rates.rate') }}
        end as reporting_usage_mrr
    from valued
    left join fx_rates
        on
            valued.currency = fx_rates.currency
            and valued.month = fx_rates.month

)

select * from final
