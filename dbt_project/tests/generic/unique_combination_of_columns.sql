{#
    The grain of a model: no two rows agree in all of the columns. `extracted_within_days` looks only at rows extracted
    in so many days up to the latest: for what is too long to be read whole in each run.
#}
{% test unique_combination_of_columns(model, columns, extracted_within_days=none, landed_in=none) %}

select {{ columns | join(', ') }}
from {{ model }}
where {{ extracted_lately(model, extracted_within_days, landed_in) }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}
