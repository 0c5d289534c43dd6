-- end = start + new + reactivation + resumed + expansion - contraction - paused - churn (± fx), exactly: per customer,
-- month and currency, in the customer's currency and in the reporting one; and each month starts where the last ended.
{{ config(meta={'dagster': {'ref': {'name': 'fct_mrr_monthly'}}}) }}

with

months as (

    select
        *,
        lag(mrr_end, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by month
        ) as mrr_end_before,
        lag(reporting_end, 1, cast(0 as decimal(18, 4))) over (
            partition by customer_id, currency order by month
        ) as reporting_end_before
    from {{ ref('fct_mrr_monthly') }}

),

sides as (

    select
        customer_id,
        currency,
        month,
        mrr_start + mrr_new + mrr_reactivation + mrr_resumed + mrr_expansion
        - mrr_contraction - mrr_paused - mrr_churn as expected,
        mrr_end as found,
        mrr_end_before as start_expected,
        mrr_start as start_found
    from months

    union all

    select
        customer_id,
        currency,
        month,
        reporting_start + reporting_new + reporting_reactivation + reporting_resumed + reporting_expansion
        - reporting_contraction - reporting_paused - reporting_churn + reporting_fx as expected,
        reporting_end as found,
        reporting_end_before as start_expected,
        reporting_start as start_found
    from months

)

select *
from sides
where expected <> found or start_expected <> start_found
