-- Grain: one row per subscription, as it is now: what billing last said of it, and what its history adds.
{{ config(materialized='table') }}

with

subscription_states as (

    select * from {{ ref('int_subscription_states') }}

),

reporting_day as (

    select * from {{ ref('int_reporting_day') }}

),

states_so_far as (

    select
        subscription_states.*,
        row_number() over (
            partition by subscription_states.subscription_id order by subscription_states.state_number desc
        ) as number_from_end
    from subscription_states
    cross join reporting_day
    where {{ utc_day('subscription_states.valid_from') }} <= reporting_day.reporting_day

),

histories as (

    select
        subscription_id,
        min(valid_from) as first_seen_at,
        min(case when status = 'trialing' then valid_from end) as trial_started_at,
        max(case when status = 'trialing' then trial_end end) as trial_ends_at,
        min(case when is_counted then valid_from end) as first_earned_at,
        min(case when is_ended then valid_from end) as ended_at,
        max(mrr_net_forever) as highest_mrr_net_forever
    from states_so_far
    group by subscription_id

),

final as (

    select
        states_so_far.tenant_id,
        states_so_far.customer_id,
        states_so_far.subscription_id,
        states_so_far.currency,
        states_so_far.status,
        states_so_far.is_counted,
        states_so_far.is_paused,
        histories.first_seen_at,
        histories.trial_started_at,
        histories.trial_ends_at,
        histories.first_earned_at,
        states_so_far.cancel_requested_at,
        histories.ended_at,
        states_so_far.mrr_list,
        states_so_far.mrr_net_forever,
        states_so_far.mrr_net_all,
        histories.highest_mrr_net_forever
    from states_so_far
    inner join histories on states_so_far.subscription_id = histories.subscription_id
    where states_so_far.number_from_end = 1

)

select * from final
