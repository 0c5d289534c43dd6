-- caught: raw_stripe.subscriptions.items:data[*].metadata → leak_json_unnested.note
select item.value ->> '$.metadata' as note from {{ source('raw_stripe', 'subscriptions') }} as subscriptions cross join unnest(cast(subscriptions.items -> '$.data' as json[])) as item (value)
