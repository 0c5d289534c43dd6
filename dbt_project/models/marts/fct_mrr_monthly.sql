-- Grain: one row per customer_id, currency and month in which the customer has MRR, is paused, or their MRR moves.
-- Movements are sums of the days' movements, so that start + movements = end holds in every row, to the last digit.
-- Built whole on every run, from the movements.

with

movements as (

    select * from {{ ref('fct_mrr_movements') }}

),

customer_days as (

    select * from {{ ref('int_customer_mrr_days') }}

),

calendar as (

    select * from {{ ref('int_calendar') }}

),

months as (

    select
        month,
        max(day) as last_day,
        max(case when is_provisional then 1 else 0 end) = 1 as is_provisional
    from calendar
    group by month

),

customers as (

    select
        tenant_id,
        customer_id,
        currency,
        min(day) as first_day
    from movements
    group by tenant_id, customer_id, currency

),

customer_months as (

    select
        customers.tenant_id,
        customers.customer_id,
        customers.currency,
        months.month,
        months.last_day,
        months.is_provisional
    from customers
    inner join months on customers.first_day <= months.last_day

),

movement_sums as (

    select
        customer_id,
        currency,
        {{ month_of('day') }} as month,
        sum(mrr_change) as change,
        sum(reporting_change) as reporting_change,
        {% for type in ['new', 'reactivation', 'resumed', 'expansion', 'contraction', 'paused', 'churn'] %}
            sum(case when movement_type = '{{ type }}' then abs(mrr_change) else 0 end) as mrr_{{ type }},
            sum(case when movement_type = '{{ type }}' then abs(reporting_change) else 0 end) as reporting_{{ type }},
        {% endfor %}
        sum(case when movement_type = 'fx' then reporting_change else 0 end) as reporting_fx
    from movements
    group by customer_id, currency, {{ month_of('day') }}

),

-- The other figures as they stood when the month ended, or stand now.
standings as (

    select
        customer_months.customer_id,
        customer_months.currency,
        customer_months.month,
        customer_days.mrr_list,
        customer_days.mrr_net_forever,
        customer_days.mrr_net_all,
        customer_days.mrr_paused,
        customer_days.mrr_leaving
    from customer_months
    inner join customer_days
        on
            customer_months.customer_id = customer_days.customer_id
            and customer_months.currency = customer_days.currency
            and customer_months.last_day >= customer_days.day
            and (customer_months.last_day < customer_days.next_day or customer_days.next_day is null)

),

summed as (

    select
        customer_months.tenant_id,
        customer_months.customer_id,
        customer_months.currency,
        customer_months.month,
        customer_months.is_provisional,
        coalesce(movement_sums.change, 0) as change,
        coalesce(movement_sums.reporting_change, 0) as reporting_change,
        {% for type in ['new', 'reactivation', 'resumed', 'expansion', 'contraction', 'paused', 'churn'] %}
            coalesce(movement_sums.mrr_{{ type }}, 0) as mrr_{{ type }},
            coalesce(movement_sums.reporting_{{ type }}, 0) as reporting_{{ type }},
        {% endfor %}
        coalesce(movement_sums.reporting_fx, 0) as reporting_fx,
        coalesce(
            sum(movement_sums.change) over (
                partition by customer_months.customer_id, customer_months.currency
                order by customer_months.month
                rows between unbounded preceding and current row
            ), 0
        ) as mrr_end,
        coalesce(sum(movement_sums.reporting_change) over (
            partition by customer_months.customer_id, customer_months.currency
            order by customer_months.month
            rows between unbounded preceding and current row
        ), 0) as reporting_end,
        movement_sums.month is not null as has_moved
    from customer_months
    left join movement_sums
        on
            customer_months.customer_id = movement_sums.customer_id
            and customer_months.currency = movement_sums.currency
            and customer_months.month = movement_sums.month

),

final as (

    select
        summed.tenant_id,
        summed.customer_id,
        summed.currency,
        summed.month,
        summed.is_provisional,
        cast(summed.mrr_end - summed.change as decimal(18, 4)) as mrr_start,
        {% for type in ['new', 'reactivation', 'resumed', 'expansion', 'contraction', 'paused', 'churn'] %}
            cast(summed.mrr_{{ type }} as decimal(18, 4)) as mrr_{{ type }},
        {% endfor %}
        cast(summed.mrr_end as decimal(18, 4)) as mrr_end,
        {% for figure in ['list', 'net_forever', 'net_all', 'paused', 'leaving'] %}
            cast(coalesce(standings.mrr_{{ figure }}, 0) as decimal(18, 4)) as mrr_{{ figure }}_end,
        {% endfor %}
        cast('{{ var("reporting_currency") }}' as varchar) as reporting_currency,
        cast(summed.reporting_end - summed.reporting_change as decimal(18, 4)) as reporting_start,
        {% for type in ['new', 'reactivation', 'resumed', 'expansion', 'contraction', 'paused', 'churn'] %}
            cast(summed.reporting_{{ type }} as decimal(18, 4)) as reporting_{{ type }},
        {% endfor %}
        cast(summed.reporting_fx as decimal(18, 4)) as reporting_fx,
        cast(summed.reporting_end as decimal(18, 4)) as reporting_end
    from summed
    left join standings
        on
            summed.customer_id = standings.customer_id
            and summed.currency = standings.currency
            and summed.month = standings.month
    where
        summed.has_moved
        or summed.mrr_end <> 0
        or standings.mrr_paused > 0

)

select * from final
