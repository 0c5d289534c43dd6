{# Rows that stand for too few tenants. Every model without tenant_id has this test; loading the project checks that. #}
{% test k_anonymous(model, tenants='tenants') %}

select *
from {{ model }}
where {{ tenants }} is null or {{ tenants }} < {{ k_anonymity() }}

{% endtest %}
