-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

create table approved_plans (
    plan_id uuid not null,
    cluster_id text not null,
    sha256 text not null,
    plan text not null,
    status text not null,
    expires_at timestamp with time zone not null,
    constraint approved_plans_pkey PRIMARY KEY (plan_id),
    constraint approved_plans_status_check CHECK ((status = ANY (ARRAY['proposed'::text, 'approved'::text, 'refused'::text])))
);

create table attempts (
    step_id uuid not null,
    number integer not null,
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    usd_per_hour numeric,
    request text not null,
    made_at timestamp with time zone not null,
    instance_id text,
    error text,
    release text not null default 'none'::text,
    constraint attempts_pkey PRIMARY KEY (step_id, number)
);
CREATE INDEX attempts_of_instance ON executor.attempts USING btree (instance_id) WHERE (instance_id IS NOT NULL);

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
    revision bigint not null,
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
    organization_id text not null,
    cluster_id text not null,
    plan_id uuid,
    trigger text not null,
    is_main boolean not null,
    status text not null,
    dry_run boolean not null,
    stop_requested boolean not null default false,
    detail text not null default ''::text,
    started_at timestamp with time zone not null,
    finished_at timestamp with time zone,
    expires_at timestamp with time zone,
    evict_by timestamp with time zone,
    stalled_at timestamp with time zone,
    fencing_token bigint not null default 0,
    constraint executions_pkey PRIMARY KEY (id),
    constraint executions_plan_id_key UNIQUE (plan_id)
);
CREATE INDEX executions_of_cluster ON executor.executions USING btree (cluster_id, started_at DESC);
CREATE UNIQUE INDEX executions_one_main ON executor.executions USING btree (cluster_id) WHERE (is_main AND (status = 'running'::text));
CREATE INDEX executions_running ON executor.executions USING btree (started_at) WHERE (status = 'running'::text);

create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamp with time zone not null default now(),
    constraint inbox_pkey PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_received_at ON executor.inbox USING btree (received_at);

create table leases (
    name text not null,
    holder text not null,
    token bigint not null,
    expires_at timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (name)
);

create table node_instances (
    instance_id text not null,
    cluster_id text not null,
    node_name text not null,
    constraint node_instances_pkey PRIMARY KEY (instance_id, cluster_id)
);

create table notices (
    instance_id text not null,
    kind text not null,
    received_at timestamp with time zone not null,
    execution_id uuid,
    constraint notices_pkey PRIMARY KEY (instance_id, kind)
);

create table outbox (
    "position" bigint not null generated always as identity,
    message_id uuid not null,
    subject text not null,
    body bytea not null,
    constraint outbox_message_id_key UNIQUE (message_id),
    constraint outbox_pkey PRIMARY KEY ("position")
);

create table pool_flags (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    expires_at timestamp with time zone not null,
    constraint pool_flags_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type)
);

create table safe_mode_audit (
    "position" bigint not null generated always as identity,
    at timestamp with time zone not null,
    organization_id text not null,
    cluster_id text not null,
    execution_id uuid not null,
    step_id uuid not null,
    action text not null,
    constraint safe_mode_audit_pkey PRIMARY KEY ("position")
);

create table signing_keys (
    key_id text not null,
    public_key bytea not null,
    sealed_private_key bytea not null,
    made_at timestamp with time zone not null,
    constraint signing_keys_pkey PRIMARY KEY (key_id)
);

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

create table steps (
    id uuid not null,
    execution_id uuid not null,
    "position" integer not null,
    move_id text not null,
    kind text not null,
    subject text not null,
    launch_id text,
    node_name text,
    instance_id text,
    status text not null,
    attempts integer not null default 0,
    detail text not null default ''::text,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    deadline_at timestamp with time zone,
    look_again_at timestamp with time zone,
    offerings jsonb not null default '[]'::jsonb,
    pods text[] not null default '{}'::text[],
    owners text[] not null default '{}'::text[],
    uncordon text not null default 'none'::text,
    constraint steps_pkey PRIMARY KEY (id)
);
CREATE INDEX steps_of_execution ON executor.steps USING btree (execution_id, "position");
CREATE INDEX steps_of_instance ON executor.steps USING btree (instance_id) WHERE (instance_id IS NOT NULL);

alter table attempts add constraint attempts_step_id_fkey FOREIGN KEY (step_id) REFERENCES steps(id) ON DELETE CASCADE;
alter table steps add constraint steps_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES executions(id) ON DELETE CASCADE;
