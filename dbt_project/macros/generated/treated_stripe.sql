{# Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this. #}


{% macro treated_stripe__customers() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        {{ pseudonymise(normalise_email('source.email')) }} as email,
        source.currency as currency,
        source.balance as balance,
        source.delinquent as delinquent,
        source.invoice_prefix as invoice_prefix,
        source.tax_exempt as tax_exempt,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('source.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
{%- endmacro %}


{% macro treated_stripe__products() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.name as name,
        source.description as description,
        source.active as active,
        source.default_price as default_price,
        {{ from_unix('source.created') }} as created,
        {{ from_unix('source.updated') }} as updated,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__prices() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.product as product,
        source.active as active,
        source.currency as currency,
        source.nickname as nickname,
        source.type as type,
        source.billing_scheme as billing_scheme,
        source.unit_amount as unit_amount,
        source.unit_amount_decimal as unit_amount_decimal,
        {{ json_document('source.recurring') }} as recurring,
        {{ json_member('source.recurring', 'interval') }} as recurring_interval,
        {{ parsed(json_member('source.recurring', 'interval_count'), 'integer') }} as recurring_interval_count,
        source.tax_behavior as tax_behavior,
        source.lookup_key as lookup_key,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__coupons() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.name as name,
        source.percent_off as percent_off,
        source.amount_off as amount_off,
        source.currency as currency,
        source.duration as duration,
        source.duration_in_months as duration_in_months,
        source.max_redemptions as max_redemptions,
        source.times_redeemed as times_redeemed,
        {{ from_unix('source.redeem_by') }} as redeem_by,
        source.valid as valid,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__discounts() -%}
    select
        coalesce(cast(tenants.id as varchar), cast(tenants_2.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.customer as customer,
        source.subscription as subscription,
        source.subscription_item as subscription_item,
        {{ json_member('source.source', 'coupon') }} as coupon,
        source.promotion_code as promotion_code,
        {{ from_unix('source.' ~ reserved('start')) }} as starts_at,
        {{ from_unix('source.' ~ reserved('end')) }} as ends_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants', 'subscriptions', 'customers_2', 'tenants_2') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ source('raw_stripe', 'subscriptions') }} as subscriptions
        on source.subscription = subscriptions.id
    left join {{ source('raw_stripe', 'customers') }} as customers_2
        on subscriptions.customer = customers_2.id
    left join {{ source('raw_app', 'tenants') }} as tenants_2
        on lower({{ json_member('customers_2.metadata', 'tenant_id') }}) = cast(tenants_2.id as varchar)
{%- endmacro %}


{% macro treated_stripe__subscriptions() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.customer as customer,
        source.status as status,
        source.currency as currency,
        {{ json_elements('source.items', 'data', {'price_id': 'price.id', 'unit_amount': 'price.unit_amount', 'interval': 'price.recurring.interval', 'interval_count': 'price.recurring.interval_count', 'quantity': 'quantity'}) }} as items,
        {{ json_document('source.discounts') }} as discounts,
        source.collection_method as collection_method,
        {{ from_unix('source.billing_cycle_anchor') }} as billing_cycle_anchor,
        {{ from_unix('source.start_date') }} as start_date,
        {{ from_unix('source.trial_start') }} as trial_start,
        {{ from_unix('source.trial_end') }} as trial_end,
        {{ from_unix('source.cancel_at') }} as cancel_at,
        source.cancel_at_period_end as cancel_at_period_end,
        {{ from_unix('source.canceled_at') }} as canceled_at,
        {{ from_unix('source.ended_at') }} as ended_at,
        {{ json_document('source.pause_collection') }} as pause_collection,
        source.latest_invoice as latest_invoice,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__invoices() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.number as number,
        source.customer as customer,
        {{ pseudonymise(normalise_email('source.customer_email')) }} as customer_email,
        source.status as status,
        source.currency as currency,
        source.amount_due as amount_due,
        source.amount_paid as amount_paid,
        source.amount_remaining as amount_remaining,
        source.subtotal as subtotal,
        source.total as total,
        source.billing_reason as billing_reason,
        source.collection_method as collection_method,
        source.attempt_count as attempt_count,
        source.attempted as attempted,
        {{ json_member('source.parent', 'subscription_details.subscription') }} as subscription,
        {{ json_document('source.status_transitions') }} as status_transitions,
        {{ from_unix(parsed(json_member('source.status_transitions', 'paid_at'), 'bigint')) }} as paid_at,
        {{ from_unix('source.due_date') }} as due_date,
        {{ from_unix('source.period_start') }} as period_start,
        {{ from_unix('source.period_end') }} as period_end,
        {{ from_unix('source.next_payment_attempt') }} as next_payment_attempt,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__charges() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.customer as customer,
        source.amount as amount,
        source.amount_captured as amount_captured,
        source.amount_refunded as amount_refunded,
        source.currency as currency,
        source.status as status,
        source.paid as paid,
        source.captured as captured,
        source.refunded as refunded,
        source.disputed as disputed,
        source.failure_code as failure_code,
        {{ pseudonymise(normalise_email('source.receipt_email')) }} as receipt_email,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__refunds() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.charge as charge,
        source.amount as amount,
        source.currency as currency,
        source.reason as reason,
        source.status as status,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'charges', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'charges') }} as charges
        on source.charge = charges.id
    left join {{ source('raw_stripe', 'customers') }} as customers
        on charges.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__promotion_codes() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.code as code,
        source.active as active,
        {{ json_document('source.promotion') }} as promotion,
        {{ json_member('source.promotion', 'coupon') }} as coupon,
        source.customer as customer,
        {{ from_unix('source.expires_at') }} as expires_at,
        source.max_redemptions as max_redemptions,
        source.times_redeemed as times_redeemed,
        {{ json_document('source.restrictions') }} as restrictions,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__subscription_items() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.subscription as subscription,
        {{ json_document('source.price') }} as price_object,
        {{ json_member('source.price', 'id') }} as price,
        source.quantity as quantity,
        {{ from_unix('source.current_period_start') }} as current_period_start,
        {{ from_unix('source.current_period_end') }} as current_period_end,
        {{ json_document('source.discounts') }} as discounts,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'subscriptions', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'subscriptions') }} as subscriptions
        on source.subscription = subscriptions.id
    left join {{ source('raw_stripe', 'customers') }} as customers
        on subscriptions.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__subscription_schedules() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.customer as customer,
        source.subscription as subscription,
        source.released_subscription as released_subscription,
        source.status as status,
        source.end_behavior as end_behavior,
        {{ json_document('source.current_phase') }} as current_phase,
        {{ from_unix('source.completed_at') }} as completed_at,
        {{ from_unix('source.released_at') }} as released_at,
        {{ from_unix('source.canceled_at') }} as canceled_at,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__invoice_line_items() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.invoice as invoice,
        source.amount as amount,
        source.subtotal as subtotal,
        source.currency as currency,
        source.quantity as quantity,
        source.discountable as discountable,
        {{ json_document('source.discount_amounts') }} as discount_amounts,
        {{ json_document('source.period') }} as period,
        {{ from_unix(parsed(json_member('source.period', 'start'), 'bigint')) }} as period_start,
        {{ from_unix(parsed(json_member('source.period', 'end'), 'bigint')) }} as period_end,
        {{ json_document('source.pricing') }} as pricing,
        {{ json_member('source.pricing', 'price_details.price') }} as price,
        {{ json_member('source.pricing', 'price_details.product') }} as product,
        {{ json_member('source.parent', 'subscription_item_details.subscription_item') }} as subscription_item,
        {{ parsed(json_member('source.parent', 'subscription_item_details.proration'), 'boolean') }} as proration,
        source.subscription as subscription,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'invoices', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'invoices') }} as invoices
        on source.invoice = invoices.id
    left join {{ source('raw_stripe', 'customers') }} as customers
        on invoices.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'invoices', 'customers', 'tenants')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__credit_notes() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.number as number,
        source.invoice as invoice,
        source.customer as customer,
        source.amount as amount,
        source.subtotal as subtotal,
        source.total as total,
        source.currency as currency,
        source.type as type,
        source.status as status,
        source.reason as reason,
        source.pre_payment_amount as pre_payment_amount,
        source.post_payment_amount as post_payment_amount,
        source.out_of_band_amount as out_of_band_amount,
        {{ from_unix('source.effective_at') }} as effective_at,
        {{ from_unix('source.voided_at') }} as voided_at,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__payment_intents() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.customer as customer,
        source.amount as amount,
        source.amount_received as amount_received,
        source.currency as currency,
        source.status as status,
        source.latest_charge as latest_charge,
        source.capture_method as capture_method,
        source.cancellation_reason as cancellation_reason,
        {{ from_unix('source.canceled_at') }} as canceled_at,
        {{ json_member('source.last_payment_error', 'code') }} as last_error_code,
        {{ pseudonymise(normalise_email('source.receipt_email')) }} as receipt_email,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ tenant_keys() }} as tenant_key
        on coalesce(cast(tenants.id as varchar), 'unattributed') = tenant_key.tenant_id
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__disputes() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.charge as charge,
        source.payment_intent as payment_intent,
        source.amount as amount,
        source.currency as currency,
        source.status as status,
        source.reason as reason,
        source.is_charge_refundable as is_charge_refundable,
        {{ json_document('source.evidence_details') }} as evidence_details,
        {{ from_unix(parsed(json_member('source.evidence_details', 'due_by'), 'bigint')) }} as due_by,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'charges', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'charges') }} as charges
        on source.charge = charges.id
    left join {{ source('raw_stripe', 'customers') }} as customers
        on charges.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__balance_transactions() -%}
    select
        coalesce(cast(tenants.id as varchar), cast(tenants_2.id as varchar), cast(tenants_3.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.source as source,
        source.type as type,
        source.reporting_category as reporting_category,
        source.amount as amount,
        source.fee as fee,
        source.net as net,
        source.currency as currency,
        {{ json_document('source.fee_details') }} as fee_details,
        source.exchange_rate as exchange_rate,
        source.status as status,
        {{ from_unix('source.available_on') }} as available_on,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'charges', 'customers', 'tenants', 'refunds', 'charges_2', 'customers_2', 'tenants_2', 'disputes', 'charges_3', 'customers_3', 'tenants_3') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'charges') }} as charges
        on source.source = charges.id
    left join {{ source('raw_stripe', 'customers') }} as customers
        on charges.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ source('raw_stripe', 'refunds') }} as refunds
        on source.source = refunds.id
    left join {{ source('raw_stripe', 'charges') }} as charges_2
        on refunds.charge = charges_2.id
    left join {{ source('raw_stripe', 'customers') }} as customers_2
        on charges_2.customer = customers_2.id
    left join {{ source('raw_app', 'tenants') }} as tenants_2
        on lower({{ json_member('customers_2.metadata', 'tenant_id') }}) = cast(tenants_2.id as varchar)
    left join {{ source('raw_stripe', 'disputes') }} as disputes
        on source.source = disputes.id
    left join {{ source('raw_stripe', 'charges') }} as charges_3
        on disputes.charge = charges_3.id
    left join {{ source('raw_stripe', 'customers') }} as customers_3
        on charges_3.customer = customers_3.id
    left join {{ source('raw_app', 'tenants') }} as tenants_3
        on lower({{ json_member('customers_3.metadata', 'tenant_id') }}) = cast(tenants_3.id as varchar)
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'charges', 'customers', 'tenants', 'refunds', 'charges_2', 'customers_2', 'tenants_2', 'disputes', 'charges_3', 'customers_3', 'tenants_3')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__payouts() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.amount as amount,
        source.currency as currency,
        source.status as status,
        {{ from_unix('source.arrival_date') }} as arrival_date,
        source.automatic as automatic,
        source.balance_transaction as balance_transaction,
        source.failure_code as failure_code,
        source.method as method,
        source.type as type,
        source.source_type as source_type,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__tax_rates() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.display_name as display_name,
        source.description as description,
        source.percentage as percentage,
        source.inclusive as inclusive,
        source.active as active,
        source.country as country,
        source.state as state,
        source.jurisdiction as jurisdiction,
        source.tax_type as tax_type,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__meters() -%}
    select
        'unattributed' as tenant_id,
        source.id as id,
        source.display_name as display_name,
        source.event_name as event_name,
        source.status as status,
        {{ json_document('source.default_aggregation') }} as default_aggregation,
        {{ json_member('source.default_aggregation', 'formula') }} as formula,
        source.event_time_window as event_time_window,
        {{ from_unix('source.created') }} as created,
        {{ from_unix('source.updated') }} as updated,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source') }} as _extracted_at
    from source
{%- endmacro %}


{% macro treated_stripe__meter_event_summaries() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.meter as meter,
        source.customer as customer,
        source.aggregated_value as aggregated_value,
        {{ from_unix('source.start_time') }} as start_time,
        {{ from_unix('source.end_time') }} as end_time,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on source.customer = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
{%- endmacro %}


{% macro treated_stripe__events() -%}
    select
        coalesce(cast(tenants.id as varchar), cast(tenants_2.id as varchar), cast(tenants_3.id as varchar), 'unattributed') as tenant_id,
        source.id as id,
        source.type as type,
        source.api_version as api_version,
        {{ json_member('source.data', 'object.id') }} as object_id,
        {{ from_unix('source.created') }} as created,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants', 'customers_2', 'tenants_2', 'charges', 'customers_3', 'tenants_3') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on {{ json_member('source.data', 'object.customer') }} = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ source('raw_stripe', 'customers') }} as customers_2
        on {{ json_member('source.data', 'object.id') }} = customers_2.id
    left join {{ source('raw_app', 'tenants') }} as tenants_2
        on lower({{ json_member('customers_2.metadata', 'tenant_id') }}) = cast(tenants_2.id as varchar)
    left join {{ source('raw_stripe', 'charges') }} as charges
        on {{ json_member('source.data', 'object.charge') }} = charges.id
    left join {{ source('raw_stripe', 'customers') }} as customers_3
        on charges.customer = customers_3.id
    left join {{ source('raw_app', 'tenants') }} as tenants_3
        on lower({{ json_member('customers_3.metadata', 'tenant_id') }}) = cast(tenants_3.id as varchar)
    {%- if is_incremental() %}
    where {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants', 'customers_2', 'tenants_2', 'charges', 'customers_3', 'tenants_3')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__subscription_events() -%}
    select
        coalesce(cast(tenants.id as varchar), 'unattributed') as tenant_id,
        source.id as event_id,
        source.type as event_type,
        {{ from_unix('source.created') }} as occurred_at,
        {{ json_member('source.data', 'object.id') }} as subscription_id,
        {{ json_member('source.data', 'object.customer') }} as customer_id,
        {{ json_member('source.data', 'object.status') }} as status,
        {{ json_member('source.data', 'object.currency') }} as currency,
        {{ json_elements('source.data', 'object.items.data', {'price_id': 'price.id', 'unit_amount': 'price.unit_amount', 'interval': 'price.recurring.interval', 'interval_count': 'price.recurring.interval_count', 'quantity': 'quantity'}) }} as items,
        {{ json_document('source.data', 'object.discounts') }} as discounts,
        {{ from_unix(parsed(json_member('source.data', 'object.trial_end'), 'bigint')) }} as trial_end,
        {{ from_unix(parsed(json_member('source.data', 'object.canceled_at'), 'bigint')) }} as canceled_at,
        {{ from_unix(parsed(json_member('source.data', 'object.ended_at'), 'bigint')) }} as ended_at,
        {{ json_document('source.data', 'object.pause_collection') }} as pause_collection,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on {{ json_member('source.data', 'object.customer') }} = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    where left(source.type, 22) = 'customer.subscription.'
    {%- if is_incremental() %}
        and {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants')) }}
    {%- endif %}
{%- endmacro %}


{% macro treated_stripe__discount_events() -%}
    select
        coalesce(cast(tenants.id as varchar), cast(tenants_2.id as varchar), 'unattributed') as tenant_id,
        source.id as event_id,
        source.type as event_type,
        {{ from_unix('source.created') }} as occurred_at,
        {{ json_member('source.data', 'object.id') }} as discount_id,
        {{ json_member('source.data', 'object.source.coupon') }} as coupon_id,
        {{ json_member('source.data', 'object.customer') }} as customer_id,
        {{ json_member('source.data', 'object.subscription') }} as subscription_id,
        {{ from_unix(parsed(json_member('source.data', 'object.start'), 'bigint')) }} as starts_at,
        {{ from_unix(parsed(json_member('source.data', 'object.end'), 'bigint')) }} as ends_at,
        source._ab_cdc_deleted_at is not null as is_deleted,
        {{ last_extracted('source', 'customers', 'tenants', 'subscriptions', 'customers_2', 'tenants_2') }} as _extracted_at
    from source
    left join {{ source('raw_stripe', 'customers') }} as customers
        on {{ json_member('source.data', 'object.customer') }} = customers.id
    left join {{ source('raw_app', 'tenants') }} as tenants
        on lower({{ json_member('customers.metadata', 'tenant_id') }}) = cast(tenants.id as varchar)
    left join {{ source('raw_stripe', 'subscriptions') }} as subscriptions
        on {{ json_member('source.data', 'object.subscription') }} = subscriptions.id
    left join {{ source('raw_stripe', 'customers') }} as customers_2
        on subscriptions.customer = customers_2.id
    left join {{ source('raw_app', 'tenants') }} as tenants_2
        on lower({{ json_member('customers_2.metadata', 'tenant_id') }}) = cast(tenants_2.id as varchar)
    where left(source.type, 18) = 'customer.discount.'
    {%- if is_incremental() %}
        and {{ extracted_since_last_build(last_extracted('source', 'customers', 'tenants', 'subscriptions', 'customers_2', 'tenants_2')) }}
    {%- endif %}
{%- endmacro %}
