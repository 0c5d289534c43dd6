-- caught: raw_stripe.customers.metadata:contact_email → leak_json_member.value
select metadata ->> '$.contact_email' as value from {{ source('raw_stripe', 'customers') }}
