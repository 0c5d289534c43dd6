-- caught: raw_app.users.email → leak_macro.domain
select {{ domain_of('email') }} as domain from {{ source('raw_app', 'users') }}
