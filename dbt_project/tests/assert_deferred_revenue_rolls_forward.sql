-- opening + billed - credited - recognised = closing, each day and month opens where the last one closed, and a
-- customer's entries are what was recognised of them and what is deferred, all to the cent.
{{ config(meta={'dagster': {'ref': {'name': 'fct_deferred_revenue_monthly'}}}) }}

with

{% for grain, column in [('daily', 'day'), ('monthly', 'month')] %}
    {{ grain }} as (

        select
            customer_id,
            currency,
            {{ column }} as period,
            opening + billed - credited - recognised as expected,
            closing as found,
            opening,
            lag(closing, 1, cast(0 as bigint)) over (
                partition by customer_id, currency order by {{ column }}
            ) as closed_before
        from {{ ref('fct_deferred_revenue_' ~ grain) }}

    ),
{% endfor %}

periods as (

    select * from daily
    union all
    select * from monthly

),

customers as (

    select
        customer_id,
        currency,
        max(day) as period,
        sum(billed - credited) as expected,
        sum(recognised) + max_by(closing, day) as found
    from {{ ref('fct_deferred_revenue_daily') }}
    group by customer_id, currency

)

select
    customer_id,
    currency,
    period,
    expected,
    found
from periods
where expected <> found or opening <> closed_before

union all

select
    customer_id,
    currency,
    period,
    expected,
    found
from customers
where expected <> found
