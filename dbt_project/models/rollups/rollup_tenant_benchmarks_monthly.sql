-- Grain: one row per tenant_id, month and metric for which the tenant has enough peers: how it compares with them.
-- Whoever has a row has all the others of the plan with a row as peers, so counting rows counts them. The count is told
-- in whole tens: one that moved by one would tell of one tenant.

with

peer_benchmarks as (

    select * from {{ ref('fct_peer_benchmarks_monthly') }}

),

counted as (

    select
        *,
        count(*) over (partition by plan, month, metric) - 1 as others
    from peer_benchmarks

),

final as (

    select
        tenant_id,
        month,
        metric,
        figure as value,
        peers_lower_quartile as p25,
        peers_median as median,
        peers_upper_quartile as p75,
        cast({{ integer_divide('others', '10') }} * 10 as bigint) as peers
    from counted
    where others >= {{ k_anonymity() }}

)

select * from final
