select billing_email as email from {{ ref('stg_app__tenants') }}
