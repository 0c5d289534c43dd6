-- The tables of tenants. Names are unqualified: the file runs once a schema (`app`, and one a namespace tenant) under
-- a search_path that begins with that schema and ends with `app`, where `tenants` stands.

create table users (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    email text not null,
    full_name text not null,
    phone text,
    role text not null check (role in ('owner', 'admin', 'member', 'viewer')),
    status text not null check (status in ('invited', 'active', 'deactivated')),
    locale text not null,
    last_login_ip inet,
    password_hash text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_seen_at timestamptz,
    primary key (tenant_id, id),
    unique (tenant_id, email)
);

create table workspaces (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    name text not null,
    created_by uuid not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    archived_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, created_by) references users (tenant_id, id)
);

create table workspace_members (
    tenant_id uuid not null references tenants (id),
    workspace_id uuid not null,
    user_id uuid not null,
    role text not null check (role in ('admin', 'editor', 'viewer')),
    joined_at timestamptz not null,
    primary key (tenant_id, workspace_id, user_id),
    foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id) on delete cascade,
    foreign key (tenant_id, user_id) references users (tenant_id, id) on delete cascade
);
create index on workspace_members (tenant_id, user_id);

create table projects (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    workspace_id uuid not null,
    name text not null,
    description text,
    owner_id uuid not null,
    budget numeric(12, 2),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    archived_at timestamptz,
    primary key (tenant_id, id),
    foreign key (tenant_id, workspace_id) references workspaces (tenant_id, id),
    foreign key (tenant_id, owner_id) references users (tenant_id, id)
);

create table workflow_runs (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    project_id uuid not null,
    started_by uuid not null,        -- of a schedule, the person who set it up
    workflow text not null,
    trigger text not null check (trigger in ('manual', 'schedule', 'api')),
    status text not null check (status in ('queued', 'running', 'succeeded', 'failed')),
    started_at timestamptz not null, -- when it was asked for; it may wait in the queue after that
    finished_at timestamptz,
    duration_ms int,
    input jsonb not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, project_id) references projects (tenant_id, id),
    foreign key (tenant_id, started_by) references users (tenant_id, id)
);
create index on workflow_runs (tenant_id, started_at);
create index on workflow_runs (tenant_id, id) where finished_at is null;

create table tasks (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    project_id uuid not null,
    workflow_run_id uuid,
    title text not null,
    assignee_id uuid,
    status text not null check (status in ('open', 'done')),
    due_on date,
    created_at timestamptz not null,
    completed_at timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, project_id) references projects (tenant_id, id),
    foreign key (tenant_id, workflow_run_id) references workflow_runs (tenant_id, id),
    foreign key (tenant_id, assignee_id) references users (tenant_id, id),
    check ((status = 'done') = (completed_at is not null))
);
create index on tasks (tenant_id, created_at);
create index on tasks (tenant_id, id) where status = 'open';

create table comments (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    task_id uuid not null,
    author_id uuid not null,
    body text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, task_id) references tasks (tenant_id, id) on delete cascade,
    foreign key (tenant_id, author_id) references users (tenant_id, id)
);
create index on comments (tenant_id, task_id);
create index on comments (tenant_id, created_at);

create table api_requests (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid, -- none: a service key
    endpoint text not null,
    method text not null,
    status_code int not null,
    latency_ms int not null,
    client_ip inet,
    occurred_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index on api_requests (tenant_id, occurred_at);

create table ai_requests (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    user_id uuid not null,
    model text not null,
    prompt_tokens int not null,
    completion_tokens int not null,
    cost_usd numeric(12, 6) not null,
    prompt text,
    occurred_at timestamptz not null,
    primary key (tenant_id, id),
    foreign key (tenant_id, user_id) references users (tenant_id, id)
);
create index on ai_requests (tenant_id, occurred_at);

create table audit_log (
    tenant_id uuid not null references tenants (id),
    id bigint not null,
    actor_id uuid,
    action text not null,
    target_type text not null,
    target_id uuid,
    ip inet,
    detail jsonb,
    occurred_at timestamptz not null,
    primary key (tenant_id, id)
);

create table entitlements (
    tenant_id uuid not null references tenants (id),
    id uuid not null,
    feature text not null check (feature in ('seats', 'workflow_runs', 'api_requests', 'ai_tokens')),
    limit_value bigint not null,
    unit text not null,
    valid_from timestamptz not null,
    valid_to timestamptz,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
);
create index on entitlements (tenant_id, feature, valid_from);

-- A tenant's rows are seen and written under its id only, the owner not excepted; unset, the setting equals no id.
do $$
declare
    name text;
begin
    for name in
        select tablename from pg_tables
        where schemaname = current_schema() and tablename not in ('plans', 'tenants')
    loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy tenant_isolation on %I '
            'using (tenant_id = nullif(current_setting(''app.current_tenant_id'', true), '''')::uuid)', name);
        execute format('create policy tailrace_cdc_reads on %I for select to tailrace_cdc using (true)', name);
    end loop;
end
$$;
