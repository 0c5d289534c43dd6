with people as (select role as email, status as phone from {{ source('raw_app', 'users') }}) select email || phone as full_name from people where email = 'admin' order by phone
