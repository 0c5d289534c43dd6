-- No layer loses or makes anything that an earlier one has. What was paid outside of Stripe is no charge, so that
-- comparison is shown in rec_totals and does not stop a build.
{{ config(meta={'dagster': {'ref': {'name': 'rec_totals'}}}) }}

select
    comparison,
    tenant_id,
    subject,
    one_side,
    other_side
from {{ ref('rec_totals') }}
where
    is_break
    and comparison <> 'invoices: paid to charges'
