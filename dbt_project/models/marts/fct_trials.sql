-- Grain: one row per subscription_id that ever was on trial.

with

subscriptions as (

    select * from {{ ref('int_subscriptions') }}

),

final as (

    select
        subscriptions.tenant_id,
        subscriptions.customer_id,
        subscriptions.subscription_id,
        {{ utc_day('subscriptions.trial_started_at') }} as trial_start,
        {{ utc_day('subscriptions.trial_ends_at') }} as trial_end,
        {{ utc_day('subscriptions.first_earned_at') }} as converted_on,
        case
            when subscriptions.first_earned_at is not null then 'converted'
            when subscriptions.status = 'trialing' then 'running'
            else 'lost'
        end as outcome,
        subscriptions.currency,
        subscriptions.mrr_net_forever as mrr_now
    from subscriptions
    where subscriptions.trial_started_at is not null

)

select * from final
