-- Grain: one row per customer_id, currency and day (UTC) at whose end any of the customer's figures differs from the
-- day before. Built whole on every run: a figure depends on all of its customer's history, which is short.
{{ config(materialized='table') }}

with

item_periods as (

    select * from {{ ref('int_subscription_item_periods') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

-- A period adds its figures on its first day and takes them back on the day that the next one begins: what comes and
-- goes within a day cancels out.
changes as (

    select
        tenant_id,
        customer_id,
        currency,
        {{ utc_day('valid_from') }} as day,
        mrr_list,
        mrr_net_forever,
        mrr_net_all,
        mrr_paused,
        case when cancel_requested_at is not null then {{ mrr_basis() }} else 0 end as mrr_leaving,
        case when not is_counted and not is_paused then cancel_requested_at end as cancel_requested_at
    from item_periods

    union all

    select
        tenant_id,
        customer_id,
        currency,
        {{ utc_day('valid_to') }} as day,
        -mrr_list as mrr_list,
        -mrr_net_forever as mrr_net_forever,
        -mrr_net_all as mrr_net_all,
        -mrr_paused as mrr_paused,
        case when cancel_requested_at is not null then -{{ mrr_basis() }} else 0 end as mrr_leaving,
        null as cancel_requested_at
    from item_periods
    where valid_to is not null

),

daily_changes as (

    select
        changes.tenant_id,
        changes.customer_id,
        changes.currency,
        changes.day,
        sum(changes.mrr_list) as list_change,
        sum(changes.mrr_net_forever) as net_forever_change,
        sum(changes.mrr_net_all) as net_all_change,
        sum(changes.mrr_paused) as paused_change,
        sum(changes.mrr_leaving) as leaving_change,
        max(changes.cancel_requested_at) as cancel_requested_at
    from changes
    cross join reporting_day
    -- A discount whose end is known begins a period in advance.
    where changes.day <= reporting_day.reporting_day
    group by changes.tenant_id, changes.customer_id, changes.currency, changes.day
    having
        sum(changes.mrr_list) <> 0
        or sum(changes.mrr_net_forever) <> 0
        or sum(changes.mrr_net_all) <> 0
        or sum(changes.mrr_paused) <> 0
        or sum(changes.mrr_leaving) <> 0

),

final as (

    select
        tenant_id,
        customer_id,
        currency,
        day,
        {% for figure in ['list', 'net_forever', 'net_all', 'paused', 'leaving'] %}
            cast(
                sum({{ figure }}_change) over (
                    partition by customer_id, currency
                    order by day
                    rows between unbounded preceding and current row
                ) as decimal(18, 4)
            ) as mrr_{{ figure }},
        {% endfor %}
        lead(day) over (partition by customer_id, currency order by day) as next_day,
        cancel_requested_at
    from daily_changes

)

select * from final
