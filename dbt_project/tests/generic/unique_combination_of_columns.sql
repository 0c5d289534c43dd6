{#
    The grain of a model: no two rows agree in all of the columns. `extracted_within_days` looks only at rows extracted
    in so many days up to the latest: for what is too long to be read whole in each run.
#}
{% test unique_combination_of_columns(model, columns, extracted_within_days=none) %}

select {{ columns | join(', ') }}
from {{ model }}
{%- if extracted_within_days %}
where
    _extracted_at >= (
        select max(latest._extracted_at) - interval '{{ extracted_within_days }} days'
        from {{ model }} as latest
    )
{%- endif %}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
