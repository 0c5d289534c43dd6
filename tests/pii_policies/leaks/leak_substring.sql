-- caught: raw_app.users.email → leak_substring.part
select substr(email, 1, 3) as part from {{ source('raw_app', 'users') }}
