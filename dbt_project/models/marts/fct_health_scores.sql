-- Grain: one row per tenant_id, as_of_day and version of the weights: a score from 0 to 100, beside what it is made of.

with

features as (

    select * from {{ ref('fct_churn_risk_features') }}

),

weights as (

    select * from {{ ref('health_weights') }}

),

-- Each input from 0 (bad) to 1 (good), four decimals.
inputs as (

    select
        tenant_id,
        as_of_day,
        -- The engines differ in what least() makes of null.
        case
            when active_users_28d >= seats_bought then cast(1 as decimal(18, 6))
            else {{ ratio('active_users_28d', 'seats_bought') }}
        end as seat_use,
        case
            when events_28d = 0 then 0
            when events_28d >= events_28d_before then cast(1 as decimal(18, 6))
            else {{ ratio('events_28d', 'events_28d_before') }}
        end as trend,
        {{ ratio('features_28d', '5') }} as breadth,
        cast(1 - coalesce({{ ratio('api_errors_28d', 'api_requests_28d') }}, 0) as decimal(18, 6)) as reliability,
        case when invoices_overdue > 0 then cast(0 as decimal(18, 6)) else 1 end as payment,
        case when mrr_leaving > 0 or mrr_paused > 0 or contractions_90d > 0 then cast(0 as decimal(18, 6)) else 1 end
            as commitment
    from features

),

scored as (

    select
        inputs.tenant_id,
        inputs.as_of_day,
        weights.version,
        inputs.seat_use,
        inputs.trend,
        inputs.breadth,
        inputs.reliability,
        inputs.payment,
        inputs.commitment,
        -- An input that is not known takes its weight with it.
        sum(
            case weights.input
                {% for input in ['seat_use', 'trend', 'breadth', 'reliability', 'payment', 'commitment'] %}
                    when '{{ input }}' then inputs.{{ input }} * weights.weight
                {% endfor %}
            end
        ) as weighted,
        sum(
            case weights.input
                {% for input in ['seat_use', 'trend', 'breadth', 'reliability', 'payment', 'commitment'] %}
                    when '{{ input }}' then case when inputs.{{ input }} is not null then weights.weight end
                {% endfor %}
            end
        ) as weight
    from inputs
    cross join weights
    group by
        inputs.tenant_id,
        inputs.as_of_day,
        weights.version,
        inputs.seat_use,
        inputs.trend,
        inputs.breadth,
        inputs.reliability,
        inputs.payment,
        inputs.commitment

),

final as (

    select
        tenant_id,
        as_of_day,
        cast(version as bigint) as version,
        cast({{ ratio('100 * weighted', 'weight') }} as decimal(9, 4)) as score,
        cast(seat_use as decimal(9, 6)) as seat_use,
        cast(trend as decimal(9, 6)) as trend,
        cast(breadth as decimal(9, 6)) as breadth,
        cast(reliability as decimal(9, 6)) as reliability,
        cast(payment as decimal(9, 6)) as payment,
        cast(commitment as decimal(9, 6)) as commitment
    from scored

)

select * from final
