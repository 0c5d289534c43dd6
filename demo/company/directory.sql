-- What a product database holds once, in schema app: the price list and the directory of its tenants.
-- A silo database has its own one-row directory; the captured one is the region's.

create schema if not exists app;

create table app.plans (
    id text primary key,
    name text not null,
    list_price_minor bigint not null check (list_price_minor >= 0), -- US cents a seat a month
    seats_included int not null,
    updated_at timestamptz not null
);

create table app.tenants (
    id uuid primary key,
    name text not null,
    slug text not null unique,
    plan text not null references app.plans (id),
    tier text not null check (tier in ('pool', 'namespace', 'silo')),
    region text not null check (region in ('us', 'eu')),
    status text not null check (status in ('trial', 'active', 'churned')),
    billing_email text not null,
    stripe_customer_id text,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

alter table app.tenants enable row level security;
alter table app.tenants force row level security;
create policy tenant_isolation on app.tenants
    using (id = nullif(current_setting('app.current_tenant_id', true), '')::uuid);
create policy tailrace_cdc_reads on app.tenants for select to tailrace_cdc using (true);

-- How far the simulator got with each tenant; committed with the rows it stands for. Never published.
create schema if not exists simulator;

create table simulator.progress (
    tenant_id uuid primary key references app.tenants (id),
    day int not null,  -- 0 is the company's first day
    unit int not null  -- units of that day that are committed
);
