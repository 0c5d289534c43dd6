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

compared as (

    select
        planned.tenant_id,
        planned.month,
        planned.metric,
        planned.plan,
        planned.figure,
        count(*) as peers,
        percentile_disc(0.25) within group (order by peers.figure) as lower_quartile,
        percentile_disc(0.5) within group (order by peers.figure) as median,
        percentile_disc(0.75) within group (order by peers.figure) as upper_quartile
    from planned
    inner join planned as peers
        on
            planned.plan = peers.plan
            and planned.month = peers.month
            and planned.metric = peers.metric
            and planned.tenant_id <> peers.tenant_id
    group by planned.tenant_id, planned.month, planned.metric, planned.plan, planned.figure

),

final as (

    select
        tenant_id,
        month,
        metric,
        plan,
        figure,
        cast(round(lower_quartile, 2) as decimal(18, 4)) as peers_lower_quartile,
        cast(round(median, 2) as decimal(18, 4)) as peers_median,
        cast(round(upper_quartile, 2) as decimal(18, 4)) as peers_upper_quartile
    from compared
    where peers >= {{ k_anonymity() }}

)

select * from final
