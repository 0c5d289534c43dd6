-- caught: raw_app.users.email → leak_aggregate.emails
select string_agg(email, ',') as emails from {{ source('raw_app', 'users') }}
