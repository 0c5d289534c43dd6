-- caught: leak_columns_pattern: not proved: `columns`
select columns('e.*') from {{ source('raw_app', 'users') }}
