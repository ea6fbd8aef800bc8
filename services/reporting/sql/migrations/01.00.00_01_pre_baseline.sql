-- Every table about a customer holds its organization, and shows a transaction the rows of one organization only.
create table node_presence (
    organization_id text not null,
    cluster_id text not null,
    node_name text not null,
    uid text not null,
    instance_id text,
    instance_type text,
    zone_id text,
    capacity_type text,
    cpu_millicores bigint not null,
    memory_bytes bigint not null,
    since timestamptz not null,
    until timestamptz
);
create unique index node_presence_open on node_presence (cluster_id, node_name) where until is null;
create index node_presence_until on node_presence (cluster_id, until);

create table pod_presence (
    organization_id text not null,
    cluster_id text not null,
    pod_key text not null,
    uid text not null,
    node_name text not null,
    namespace text not null,
    owner_kind text not null,
    owner_name text not null,
    cpu_millicores bigint not null,
    memory_bytes bigint not null,
    since timestamptz not null,
    until timestamptz
);
create unique index pod_presence_open on pod_presence (cluster_id, pod_key) where until is null;
create index pod_presence_until on pod_presence (cluster_id, until);

-- The pool of instances we launched, for nodes whose labels do not say.
create table launches (
    organization_id text not null,
    cluster_id text not null,
    instance_id text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    primary key (cluster_id, instance_id)
);

-- Until when a cluster's slices are closed. Its row lock lets one replica close them at a time.
create table ledger_marks (
    organization_id text not null,
    cluster_id text primary key,
    closed_until timestamptz not null,
    stale_since timestamptz
);

create table baselines (
    organization_id text not null,
    cluster_id text not null,
    execution_id uuid primary key,
    since timestamptz not null,
    usd_per_vcpu_hour numeric not null,
    usd_per_gib_hour numeric not null
);
create index baselines_since on baselines (cluster_id, since);

-- A stretch of a node's time at one price; a null price is an unknown one, and then so is the cost.
create table node_hours (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamptz not null,
    node_name text not null,
    start_at timestamptz not null,
    seconds numeric not null check (seconds > 0),
    instance_type text,
    zone_id text,
    capacity_type text,
    is_capacity_assumed boolean not null,
    usd_per_hour numeric,
    cost_usd numeric,
    primary key (cluster_id, slice_start_at, node_name, start_at),
    check ((usd_per_hour is null) = (cost_usd is null))
);

-- How a slice's cost divides; the row without a name is what nobody requested.
create table workload_costs (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamptz not null,
    namespace text not null,
    kind text not null,
    name text not null,
    cost_usd numeric not null,
    primary key (cluster_id, slice_start_at, namespace, kind, name)
);

create table savings (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamptz not null,
    slice_end_at timestamptz not null,
    vcpu_hours numeric not null,
    gib_hours numeric not null,
    cost_usd numeric not null,
    baseline_cost_usd numeric not null,
    savings_usd numeric not null,
    primary key (cluster_id, slice_start_at),
    check (savings_usd = baseline_cost_usd - cost_usd)
);

create table activity (
    organization_id text not null,
    message_id uuid not null,
    at timestamptz not null,
    cluster_id text,
    kind text not null,
    text text not null,
    primary key (organization_id, message_id)
);
create index activity_at on activity (organization_id, at desc);

-- The last link of each organization's chain; its row lock orders the writers, and it tells a shortened log.
create table audit_heads (
    organization_id text primary key,
    position bigint not null,
    sha256 text not null
);

create table audit_log (
    organization_id text not null,
    position bigint not null,
    at timestamptz not null,
    actor text not null,
    action text not null,
    target text not null,
    detail jsonb not null,
    previous_sha256 text not null,
    sha256 text not null,
    primary key (organization_id, position)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;
create trigger audit_log_append_only before update or delete on audit_log
    for each row execute function refuse_change();
create trigger audit_log_keep before truncate on audit_log
    for each statement execute function refuse_change();

do $$
declare
    name text;
begin
    foreach name in array array[
        'node_presence', 'pod_presence', 'launches', 'ledger_marks', 'baselines', 'node_hours', 'workload_costs',
        'savings', 'activity', 'audit_heads', 'audit_log'
    ] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format(
            'create policy own_organization on %I'
            ' using (organization_id = current_setting(''app.organization_id'', true))'
            ' with check (organization_id = current_setting(''app.organization_id'', true))',
            name
        );
    end loop;
end
$$;

-- Everybody's: what pools cost, by when it took effect.
create table prices (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamptz not null,
    usd_per_hour numeric not null check (usd_per_hour > 0),
    primary key (region, instance_type, capacity_type, zone_id, effective_at)
);
