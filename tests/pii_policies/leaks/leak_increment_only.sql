-- caught: raw_app.users.email → leak_increment_only.name
{{ config(materialized='incremental', unique_key='name') }}
select {{ 'email' if is_incremental() else 'role' }} as name from {{ source('raw_app', 'users') }}
