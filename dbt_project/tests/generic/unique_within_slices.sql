{#
    The grain of a model that is counted anew by whole slices of a tenant and a date: no two rows agree in all of the
    columns. Looks at the slices of which any row was extracted in so many days up to the latest, since no build has
    written another; in a full refresh, or with var `reconcile_all_usage`, at all.
#}
{% test unique_within_slices(model, columns, date, extracted_within_days=3) %}

with

rows_of_model {{ as_read_in_place() }} (

    select * from {{ model }}

),

written_lately as (

    select distinct
        tenant_id,
        {{ date }}
    from rows_of_model
    where {{ extracted_lately(model, extracted_within_days) }}

),

-- For an engine to hold against what it knows of its blocks.
reach as (

    select
        min({{ date }}) as first_date,
        max({{ date }}) as last_date
    from written_lately

)

select {% for column in columns %}rows_of_model.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
from rows_of_model
inner join reach
    on
        rows_of_model.{{ date }} >= reach.first_date
        and rows_of_model.{{ date }} <= reach.last_date
inner join written_lately
    on
        rows_of_model.tenant_id = written_lately.tenant_id
        and rows_of_model.{{ date }} = written_lately.{{ date }}
group by {% for column in columns %}rows_of_model.{{ column }}{{ ', ' if not loop.last }}{% endfor %}
having count(*) > 1

{% endtest %}
