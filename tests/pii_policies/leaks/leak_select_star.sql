-- caught: raw_app.users.email → leak_select_star.email
select * from {{ source('raw_app', 'users') }}
