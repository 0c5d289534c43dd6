select data ->> '$.object.status' as status, id from {{ source('raw_stripe', 'events') }} where type like 'customer.%'
