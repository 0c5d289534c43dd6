-- MRR is told by events, and Stripe keeps them for 30 days: a subscription that earns but was never told of is missing
-- from MRR. It warns rather than fails, because no later run can bring those events back.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'int_subscription_states'}}}) }}

select
    subscriptions.id as subscription_id,
    subscriptions.status
from {{ ref('stg_stripe__subscriptions') }} as subscriptions
left join {{ ref('int_subscription_states') }} as subscription_states
    on subscriptions.id = subscription_states.subscription_id
where
    subscriptions.status in ('active', 'past_due')
    and not subscriptions.is_deleted
    and subscription_states.subscription_id is null
