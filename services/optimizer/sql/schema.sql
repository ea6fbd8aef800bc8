-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

create table cluster_marks (
    cluster_id text not null,
    epoch bigint not null default 0,
    sequence bigint not null default 0,
    as_of timestamp with time zone,
    resync_asked_at timestamp with time zone,
    constraint cluster_marks_pkey PRIMARY KEY (cluster_id)
);

create table cluster_objects (
    cluster_id text not null,
    kind text not null,
    key text not null,
    body bytea not null,
    constraint cluster_objects_pkey PRIMARY KEY (cluster_id, kind, key)
);

create table clusters (
    cluster_id text not null,
    organization_id text not null,
    name text not null,
    account_id text not null,
    account_number text not null,
    region text not null,
    constraint clusters_pkey PRIMARY KEY (cluster_id)
);

create table configs (
    cluster_id text not null,
    organization_id text not null,
    revision integer not null,
    policy jsonb not null,
    node_template jsonb not null,
    constraint configs_pkey PRIMARY KEY (cluster_id)
);

create table early_deltas (
    cluster_id text not null,
    epoch bigint not null,
    sequence bigint not null,
    occurred_at timestamp with time zone not null,
    body bytea not null,
    received_at timestamp with time zone not null default now(),
    constraint early_deltas_pkey PRIMARY KEY (cluster_id, epoch, sequence)
);

create table executions (
    id uuid not null,
    cluster_id text not null,
    plan_id uuid,
    trigger text not null,
    started_at timestamp with time zone not null,
    finished_at timestamp with time zone,
    has_succeeded boolean,
    constraint executions_pkey PRIMARY KEY (id)
);
CREATE INDEX executions_of_cluster ON optimizer.executions USING btree (cluster_id, started_at DESC);

create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamp with time zone not null default now(),
    constraint inbox_pkey PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_received_at ON optimizer.inbox USING btree (received_at);

create table leases (
    name text not null,
    holder text not null,
    token bigint not null,
    expires_at timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (name)
);

create table outbox (
    "position" bigint not null generated always as identity,
    message_id uuid not null,
    subject text not null,
    body bytea not null,
    constraint outbox_message_id_key UNIQUE (message_id),
    constraint outbox_pkey PRIMARY KEY ("position")
);

create table planning_skips (
    cluster_id text not null,
    at timestamp with time zone not null,
    trigger text not null,
    reason text not null,
    constraint planning_skips_pkey PRIMARY KEY (cluster_id)
);

create table plans (
    id uuid not null,
    cluster_id text not null,
    organization_id text not null,
    created_at timestamp with time zone not null,
    trigger text not null,
    sha256 text not null,
    body bytea not null,
    constraint plans_pkey PRIMARY KEY (id)
);
CREATE INDEX plans_of_cluster ON optimizer.plans USING btree (cluster_id, created_at DESC);

create table snapshot_chunks (
    cluster_id text not null,
    epoch bigint not null,
    sequence bigint not null,
    index integer not null,
    count integer not null,
    as_of timestamp with time zone not null,
    body bytea not null,
    constraint snapshot_chunks_pkey PRIMARY KEY (cluster_id, epoch, sequence, index)
);

create table wanted_plans (
    cluster_id text not null,
    trigger text not null,
    requested_by text not null,
    due_at timestamp with time zone not null,
    version bigint not null default 1,
    constraint wanted_plans_pkey PRIMARY KEY (cluster_id, trigger)
);
CREATE INDEX wanted_plans_due ON optimizer.wanted_plans USING btree (due_at);

create table workload_usage (
    cluster_id text not null,
    workload text not null,
    samples bigint not null,
    cpu_millicores_max bigint not null,
    cpu_millicores_sum numeric not null,
    memory_bytes_max bigint not null,
    memory_bytes_sum numeric not null,
    first_at timestamp with time zone not null,
    last_at timestamp with time zone not null,
    constraint workload_usage_pkey PRIMARY KEY (cluster_id, workload)
);
