-- caught: raw_app.users.phone → leak_concatenation.greeting
select 'call ' || coalesce(phone, '?') as greeting from {{ source('raw_app', 'users') }}
