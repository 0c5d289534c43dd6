-- caught: raw_app.users.email → leak_cte.b
with one as (select email as a from {{ source('raw_app', 'users') }}), two (b) as (select a from one) select b from two
