-- What the gateway said about each cluster; the highest revision holds.
create table configs (
    cluster_id text primary key,
    organization_id text not null,
    revision int not null,
    policy jsonb not null,
    node_template jsonb not null
);

-- Planning that was asked for and is not done; asking twice is asking once.
create table wanted_plans (
    cluster_id text not null,
    trigger text not null,
    requested_by text not null,
    due_at timestamptz not null,
    version bigint not null default 1,
    primary key (cluster_id, trigger)
);
create index wanted_plans_due on wanted_plans (due_at);

create table plans (
    id uuid primary key,
    cluster_id text not null,
    organization_id text not null,
    created_at timestamptz not null,
    trigger text not null,
    sha256 text not null,
    body bytea not null
);
create index plans_of_cluster on plans (cluster_id, created_at desc);

-- Why the last planning of a cluster proposed nothing.
create table planning_skips (
    cluster_id text primary key,
    at timestamptz not null,
    trigger text not null,
    reason text not null
);

-- Executions as the executor announced them: no planning of savings while one runs.
create table executions (
    id uuid primary key,
    cluster_id text not null,
    plan_id uuid,
    trigger text not null,
    started_at timestamptz not null,
    finished_at timestamptz
);
create index executions_of_cluster on executions (cluster_id, started_at desc);

-- What pods used, summed up per workload: right-sizing reads it.
create table workload_usage (
    cluster_id text not null,
    workload text not null,
    samples bigint not null,
    cpu_millicores_max bigint not null,
    cpu_millicores_sum numeric not null,
    memory_bytes_max bigint not null,
    memory_bytes_sum numeric not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    primary key (cluster_id, workload)
);
