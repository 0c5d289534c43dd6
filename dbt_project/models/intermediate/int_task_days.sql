-- Grain: one row per task_id, day on which a build saw it completed, and _extracted_at: what tells of a task that was
-- completed on another day before, or is open again. Rows are only ever added, with each version of a task.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
    )
}}

with

tasks as (

    select * from {{ ref('stg_app__tasks') }}

),

final as (

    select
        tenant_id,
        id as task_id,
        {{ utc_day('completed_at') }} as day,
        _extracted_at
    from tasks
    where
        completed_at is not null
        {%- if is_incremental() %}
            and {{ extracted_since_last_build('_extracted_at') }}
        {%- endif %}

)

select * from final
