-- caught: raw_stripe.events.data → leak_json_computed_path.value
select json_extract_string(data, '$.object.' || type) as value from {{ source('raw_stripe', 'events') }}
