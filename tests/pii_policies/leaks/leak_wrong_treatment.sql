-- caught: raw_app.users.email → leak_wrong_treatment.email
select {{ mask('email') }} as email from {{ source('raw_app', 'users') }}
