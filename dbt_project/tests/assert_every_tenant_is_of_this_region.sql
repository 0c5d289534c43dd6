-- A tenant of another region in this warehouse: no mart is built on its rows. CI, which serves no region, asks nothing.
{% set region = env_var('TAILRACE_REGION', '') %}

select
    tenant_id,
    region
from {{ ref('stg_app__tenants') }}
where
    not is_deleted
    and {{ "region <> '" ~ region ~ "'" if region else 'false' }}
