-- caught: raw_app.users.email → leak_count_of_case.adas
select count(case when email = 'ada@example.com' then 1 end) as adas from {{ source('raw_app', 'users') }}
