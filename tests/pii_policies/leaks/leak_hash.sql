-- caught: raw_app.users.email → leak_hash.email_hash
select sha256(email) as email_hash from {{ source('raw_app', 'users') }}
