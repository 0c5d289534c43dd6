-- Grain: one row per customer_id, currency and month in which anything is deferred, billed, taken back or recognised.
-- opening + billed - credited - recognised = closing, to the cent, in every row: months are sums of days.

with

deferred_daily as (

    select * from {{ ref('fct_deferred_revenue_daily') }}

),

fx_rates as (

    select * from {{ ref('int_fx_rates_monthly') }}

),

months as (

    select
        tenant_id,
        customer_id,
        currency,
        {{ month_of('day') }} as month,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional,
        cast(min_by(opening, day) as bigint) as opening,
        cast(sum(billed) as bigint) as billed,
        cast(sum(credited) as bigint) as credited,
        cast(sum(recognised) as bigint) as recognised,
        cast(max_by(closing, day) as bigint) as closing
    from deferred_daily
    group by tenant_id, customer_id, currency, {{ month_of('day') }}

),

-- For sums over currencies alone: the roll-forward holds in the customer's currency.
final as (

    select
        months.*,
        cast('{{ var("reporting_currency") }}' as varchar) as reporting_currency,
        {% for figure in ['recognised', 'closing'] %}
            case
                when fx_rates.rate is null
                    then
                        {{ raise_error("'no rate in fx_rates: ' || months.currency || ', ' || months.month") }}
                else {{ converted('months.' ~ figure, 'fx_rates.rate') }}
            end as reporting_{{ figure }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from months
    left join fx_rates
        on
            months.currency = fx_rates.currency
            and months.month = fx_rates.month

)

select * from final
