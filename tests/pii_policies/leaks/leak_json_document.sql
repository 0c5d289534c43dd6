-- caught: raw_stripe.events.data:object → leak_json_document.body
select data -> '$.object' as body from {{ source('raw_stripe', 'events') }}
