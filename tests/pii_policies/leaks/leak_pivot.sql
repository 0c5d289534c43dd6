-- caught: leak_pivot: not proved: `pivots` of `table`
select * from {{ source('raw_app', 'users') }} pivot (count(id) for email in ('a@example.com'))
