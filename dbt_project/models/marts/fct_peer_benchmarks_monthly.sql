-- Grain: one row per tenant_id, month and metric for which the tenant has enough peers: how it compares with them.
-- A peer is another tenant on the same plan. Fewer than var `k_anonymity` of them, and there is no row: what is
-- shown to one tenant must not tell of another. Quartiles are rounded to two digits.

with

tenants as (

    select * from {{ ref('int_tenants') }}

),

engagement_daily as (

    select * from {{ ref('fct_engagement_daily') }}

),

latency_daily as (

    select * from {{ ref('fct_latency_daily') }}

),

tenant_metrics as (

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'stickiness' as metric,
        cast({{ ratio('sum(stickiness)', 'count(*)') }} as decimal(18, 4)) as figure
    from engagement_daily
    group by tenant_id, {{ month_of('day') }}

    union all

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'seat_use' as metric,
        cast(max(seat_use) as decimal(18, 4)) as figure
    from engagement_daily
    where seat_use is not null
    group by tenant_id, {{ month_of('day') }}

    union all

    select
        tenant_id,
        {{ month_of('day') }} as month,
        'api_error_share' as metric,
        cast({{ share('sum(failures)', 'sum(events)') }} as decimal(18, 4)) as figure
    from latency_daily
    where feature = 'api'
    group by tenant_id, {{ month_of('day') }}

),

planned as (

    select
        tenant_metrics.tenant_id,
        tenant_metrics.month,
        tenant_metrics.metric,
        tenant_metrics.figure,
        tenants.plan
    from tenant_metrics
    inner join tenants on tenant_metrics.tenant_id = tenants.tenant_id
    where not tenants.is_deleted

),

-- A quartile of the others is the value at some place among all, or the one after it where the tenant itself stands
-- before: comparing every tenant with every other would cost the square of their number.
ranked as (

    select
        *,
        count(*) over (partition by plan, month, metric) - 1 as peers,
        row_number() over (partition by plan, month, metric order by figure, tenant_id) as place
    from planned

),

placed as (

    select
        *,
        {% for quartile in [1, 2, 3] -%}
            {% set among_others = integer_divide(quartile ~ ' * peers + 3', '4') -%}
            {{ among_others }} + case when place <= {{ among_others }} then 1 else 0 end as place_{{ quartile }}
            {%- if not loop.last %},{% endif %}
        {% endfor %}
    from ranked
    where peers >= {{ k_anonymity() }}

),

final as (

    select
        placed.tenant_id,
        placed.month,
        placed.metric,
        placed.plan,
        placed.figure,
        cast(round(lower_quartile.figure, 2) as decimal(18, 4)) as peers_lower_quartile,
        cast(round(median.figure, 2) as decimal(18, 4)) as peers_median,
        cast(round(upper_quartile.figure, 2) as decimal(18, 4)) as peers_upper_quartile
    from placed
    {% for name in ['lower_quartile', 'median', 'upper_quartile'] -%}
        inner join ranked as {{ name }}
            on
                placed.plan = {{ name }}.plan
                and placed.month = {{ name }}.month
                and placed.metric = {{ name }}.metric
                and placed.place_{{ loop.index }} = {{ name }}.place
    {% endfor %}

)

select * from final
