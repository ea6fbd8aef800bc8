-- What people and the optimizer decided.
create table approved_plans (
    plan_id uuid primary key,
    cluster_id text not null,
    sha256 text not null,
    plan text not null,
    status text not null check (status in ('proposed', 'approved', 'refused')),
    expires_at timestamptz not null
);

create table configs (
    cluster_id text primary key,
    organization_id text not null,
    revision bigint not null,
    policy jsonb not null,
    node_template jsonb not null
);

create table executions (
    id uuid primary key,
    organization_id text not null,
    cluster_id text not null,
    plan_id uuid unique,
    trigger text not null,
    is_main boolean not null,
    status text not null,
    dry_run boolean not null,
    stop_requested boolean not null default false,
    detail text not null default '',
    started_at timestamptz not null,
    finished_at timestamptz,
    expires_at timestamptz,
    evict_by timestamptz,
    stalled_at timestamptz,
    -- Of the lease that last wrote: an earlier holder that wakes up late writes nothing.
    fencing_token bigint not null default 0
);
create index executions_of_cluster on executions (cluster_id, started_at desc);
create unique index executions_one_main on executions (cluster_id) where is_main and status = 'running';

create table steps (
    id uuid primary key,
    execution_id uuid not null references executions on delete cascade,
    position int not null,
    move_id text not null,
    kind text not null,
    subject text not null,
    launch_id text,
    node_name text,
    instance_id text,
    status text not null,
    attempts int not null default 0,
    detail text not null default '',
    started_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz,
    look_again_at timestamptz,
    offerings jsonb not null default '[]',
    pods text[] not null default '{}',
    owners text[] not null default '{}',
    uncordon text not null default 'none'
);
create index steps_of_execution on steps (execution_id, position);
create index steps_of_instance on steps (instance_id) where instance_id is not null;

-- Every call to launch: the request is stored before it is sent, so that after a crash the same one is sent again.
create table attempts (
    step_id uuid not null references steps on delete cascade,
    number int not null,
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    usd_per_hour numeric,
    request text not null,
    made_at timestamptz not null,
    instance_id text,
    error text,
    release text not null default 'none',
    primary key (step_id, number)
);
create index attempts_of_instance on attempts (instance_id) where instance_id is not null;

create table pool_flags (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    expires_at timestamptz not null,
    primary key (region, instance_type, zone_id, capacity_type)
);

-- Which node an instance became; instance ids are never used twice, so a row never becomes wrong.
create table node_instances (
    instance_id text not null,
    cluster_id text not null,
    node_name text not null,
    primary key (instance_id, cluster_id)
);

create table notices (
    instance_id text not null,
    kind text not null,
    received_at timestamptz not null,
    -- Null when nothing had to be done.
    execution_id uuid,
    primary key (instance_id, kind)
);

-- Private keys are AES-256-GCM ciphertexts under EXECUTOR_SECRETS_KEY.
create table signing_keys (
    key_id text primary key,
    public_key bytea not null,
    sealed_private_key bytea not null,
    made_at timestamptz not null
);

-- Every write that safe mode held back.
create table safe_mode_audit (
    position bigint generated always as identity primary key,
    at timestamptz not null,
    organization_id text not null,
    cluster_id text not null,
    execution_id uuid not null,
    step_id uuid not null,
    action text not null
);
