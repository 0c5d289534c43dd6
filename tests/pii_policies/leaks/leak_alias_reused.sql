-- caught: raw_app.users.phone → leak_alias_reused.second
select phone as first_use, first_use || '' as second from {{ source('raw_app', 'users') }}
