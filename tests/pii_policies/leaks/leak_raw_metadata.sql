-- caught: raw_app.users._airbyte_meta → leak_raw_metadata.changes
select _airbyte_meta as changes from {{ source('raw_app', 'users') }}
