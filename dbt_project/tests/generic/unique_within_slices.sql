{#
    The grain of a model that is counted anew by whole slices: no two rows agree in all of the columns. Looks at the
    slices of which any row was extracted in so many days up to the latest, since no build has written another; in a full
    refresh, at all.
#}
{% test unique_within_slices(model, columns, slice, extracted_within_days=3) %}

with

written_lately as (

    select distinct {{ slice | join(', ') }}
    from {{ model }}
    where {{ extracted_lately(model, extracted_within_days) }}

)

select {{ columns | join(', ') }}
from {{ model }}
inner join written_lately using ({{ slice | join(', ') }})
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
