-- caught: raw_app.users.email → leak_rename.label
select email as label from {{ source('raw_app', 'users') }}
