-- Grain: one row per tenant_id, figure, subject, month and restated_at: a figure of a closed month that a later build
-- changed.

with

figures_snapshot as (

    select * from {{ ref('figures_snapshot') }}

),

versions as (

    select
        *,
        lead(value) over (
            partition by tenant_id, figure, subject, month order by dbt_valid_from
        ) as next_value,
        lead(definition) over (
            partition by tenant_id, figure, subject, month order by dbt_valid_from
        ) as next_definition
    from figures_snapshot

),

final as (

    select
        tenant_id,
        figure,
        subject,
        month,
        cast(dbt_valid_to as timestamp with time zone) as restated_at,
        value as value_before,
        -- Null: the figure is gone, with everything it was made of.
        next_value as value_after,
        case
            when definition <> next_definition then 'definition'
            when next_value is null then 'deleted'
            else 'data'
        end as reason
    from versions
    where
        -- What an open month showed was announced as provisional.
        not is_provisional
        and dbt_valid_to is not null
        and (value <> next_value or next_value is null)

)

select * from final
