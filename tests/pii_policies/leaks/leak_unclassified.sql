-- caught: leak_unclassified: not proved: column shoe_size, which no contract and no model has
select shoe_size from {{ source('raw_app', 'users') }}
