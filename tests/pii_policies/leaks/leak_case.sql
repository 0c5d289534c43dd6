-- caught: raw_app.users.email → leak_case.is_ada
select case when email = 'ada@example.com' then 1 else 0 end as is_ada from {{ source('raw_app', 'users') }}
