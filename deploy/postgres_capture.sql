-- Generated from pii_policies/contracts/ by `python -m pii_policies compile`; change those, not this.
create publication "tailrace" for table
    "app"."plans" ("id", "name", "list_price_minor", "seats_included", "updated_at"),
    "app"."tenants" ("id", "name", "slug", "plan", "tier", "region", "status", "billing_email", "stripe_customer_id", "created_at", "updated_at"),
    "app"."users" ("tenant_id", "id", "email", "full_name", "phone", "role", "status", "locale", "last_login_ip", "created_at", "updated_at", "last_seen_at"),
    "app"."workspaces" ("tenant_id", "id", "name", "created_by", "created_at", "updated_at", "archived_at"),
    "app"."workspace_members" ("tenant_id", "workspace_id", "user_id", "role", "joined_at"),
    "app"."projects" ("tenant_id", "id", "workspace_id", "name", "description", "owner_id", "budget", "created_at", "updated_at", "archived_at"),
    "app"."workflow_runs" ("tenant_id", "id", "project_id", "started_by", "workflow", "trigger", "status", "started_at", "finished_at", "duration_ms", "input", "updated_at"),
    "app"."tasks" ("tenant_id", "id", "project_id", "workflow_run_id", "title", "assignee_id", "status", "due_on", "created_at", "completed_at", "updated_at"),
    "app"."comments" ("tenant_id", "id", "task_id", "author_id", "body", "created_at", "updated_at"),
    "app"."api_requests" ("tenant_id", "id", "user_id", "endpoint", "method", "status_code", "latency_ms", "client_ip", "occurred_at"),
    "app"."ai_requests" ("tenant_id", "id", "user_id", "model", "prompt_tokens", "completion_tokens", "cost_usd", "prompt", "occurred_at"),
    "app"."audit_log" ("tenant_id", "id", "actor_id", "action", "target_type", "target_id", "ip", "detail", "occurred_at"),
    "app"."entitlements" ("tenant_id", "id", "feature", "limit_value", "unit", "valid_from", "valid_to", "updated_at");
grant usage on schema "app" to "tailrace_cdc";
grant select ("id", "name", "list_price_minor", "seats_included", "updated_at", ctid, xmin) on "app"."plans" to "tailrace_cdc";
grant select ("id", "name", "slug", "plan", "tier", "region", "status", "billing_email", "stripe_customer_id", "created_at", "updated_at", ctid, xmin) on "app"."tenants" to "tailrace_cdc";
grant select ("tenant_id", "id", "email", "full_name", "phone", "role", "status", "locale", "last_login_ip", "created_at", "updated_at", "last_seen_at", ctid, xmin) on "app"."users" to "tailrace_cdc";
grant select ("tenant_id", "id", "name", "created_by", "created_at", "updated_at", "archived_at", ctid, xmin) on "app"."workspaces" to "tailrace_cdc";
grant select ("tenant_id", "workspace_id", "user_id", "role", "joined_at", ctid, xmin) on "app"."workspace_members" to "tailrace_cdc";
grant select ("tenant_id", "id", "workspace_id", "name", "description", "owner_id", "budget", "created_at", "updated_at", "archived_at", ctid, xmin) on "app"."projects" to "tailrace_cdc";
grant select ("tenant_id", "id", "project_id", "started_by", "workflow", "trigger", "status", "started_at", "finished_at", "duration_ms", "input", "updated_at", ctid, xmin) on "app"."workflow_runs" to "tailrace_cdc";
grant select ("tenant_id", "id", "project_id", "workflow_run_id", "title", "assignee_id", "status", "due_on", "created_at", "completed_at", "updated_at", ctid, xmin) on "app"."tasks" to "tailrace_cdc";
grant select ("tenant_id", "id", "task_id", "author_id", "body", "created_at", "updated_at", ctid, xmin) on "app"."comments" to "tailrace_cdc";
grant select ("tenant_id", "id", "user_id", "endpoint", "method", "status_code", "latency_ms", "client_ip", "occurred_at", ctid, xmin) on "app"."api_requests" to "tailrace_cdc";
grant select ("tenant_id", "id", "user_id", "model", "prompt_tokens", "completion_tokens", "cost_usd", "prompt", "occurred_at", ctid, xmin) on "app"."ai_requests" to "tailrace_cdc";
grant select ("tenant_id", "id", "actor_id", "action", "target_type", "target_id", "ip", "detail", "occurred_at", ctid, xmin) on "app"."audit_log" to "tailrace_cdc";
grant select ("tenant_id", "id", "feature", "limit_value", "unit", "valid_from", "valid_to", "updated_at", ctid, xmin) on "app"."entitlements" to "tailrace_cdc";
