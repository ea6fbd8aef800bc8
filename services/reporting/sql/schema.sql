-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

CREATE OR REPLACE FUNCTION reporting.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    raise exception 'the audit log is append-only';
end
$function$
;
create table activity (
    organization_id text not null,
    message_id uuid not null,
    at timestamp with time zone not null,
    cluster_id text,
    kind text not null,
    text text not null,
    constraint activity_pkey PRIMARY KEY (organization_id, message_id)
);
CREATE INDEX activity_at ON reporting.activity USING btree (organization_id, at DESC);
alter table activity enable row level security;
alter table activity force row level security;
create policy own_organization on activity as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table audit_heads (
    organization_id text not null,
    "position" bigint not null,
    sha256 text not null,
    constraint audit_heads_pkey PRIMARY KEY (organization_id)
);
alter table audit_heads enable row level security;
alter table audit_heads force row level security;
create policy own_organization on audit_heads as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table audit_log (
    organization_id text not null,
    "position" bigint not null,
    at timestamp with time zone not null,
    actor text not null,
    action text not null,
    target text not null,
    detail jsonb not null,
    previous_sha256 text not null,
    sha256 text not null,
    constraint audit_log_pkey PRIMARY KEY (organization_id, "position")
);
CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE ON reporting.audit_log FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_log_keep BEFORE TRUNCATE ON reporting.audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
alter table audit_log enable row level security;
alter table audit_log force row level security;
create policy own_organization on audit_log as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table baselines (
    organization_id text not null,
    cluster_id text not null,
    execution_id uuid not null,
    since timestamp with time zone not null,
    usd_per_vcpu_hour numeric not null,
    usd_per_gib_hour numeric not null,
    constraint baselines_pkey PRIMARY KEY (execution_id)
);
CREATE INDEX baselines_since ON reporting.baselines USING btree (cluster_id, since);
alter table baselines enable row level security;
alter table baselines force row level security;
create policy own_organization on baselines as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

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

create table early_deltas (
    cluster_id text not null,
    epoch bigint not null,
    sequence bigint not null,
    occurred_at timestamp with time zone not null,
    body bytea not null,
    received_at timestamp with time zone not null default now(),
    constraint early_deltas_pkey PRIMARY KEY (cluster_id, epoch, sequence)
);

create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamp with time zone not null default now(),
    constraint inbox_pkey PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_received_at ON reporting.inbox USING btree (received_at);

create table launches (
    organization_id text not null,
    cluster_id text not null,
    instance_id text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    constraint launches_pkey PRIMARY KEY (cluster_id, instance_id)
);
alter table launches enable row level security;
alter table launches force row level security;
create policy own_organization on launches as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table leases (
    name text not null,
    holder text not null,
    token bigint not null,
    expires_at timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (name)
);

create table ledger_marks (
    organization_id text not null,
    cluster_id text not null,
    closed_until timestamp with time zone not null,
    stale_since timestamp with time zone,
    constraint ledger_marks_pkey PRIMARY KEY (cluster_id)
);
alter table ledger_marks enable row level security;
alter table ledger_marks force row level security;
create policy own_organization on ledger_marks as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table node_hours (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamp with time zone not null,
    node_name text not null,
    start_at timestamp with time zone not null,
    seconds numeric not null,
    instance_type text,
    zone_id text,
    capacity_type text,
    is_capacity_assumed boolean not null,
    usd_per_hour numeric,
    cost_usd numeric,
    constraint node_hours_check CHECK (((usd_per_hour IS NULL) = (cost_usd IS NULL))),
    constraint node_hours_pkey PRIMARY KEY (cluster_id, slice_start_at, node_name, start_at),
    constraint node_hours_seconds_check CHECK ((seconds > (0)::numeric))
);
alter table node_hours enable row level security;
alter table node_hours force row level security;
create policy own_organization on node_hours as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

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
    since timestamp with time zone not null,
    until timestamp with time zone
);
CREATE UNIQUE INDEX node_presence_open ON reporting.node_presence USING btree (cluster_id, node_name) WHERE (until IS NULL);
CREATE INDEX node_presence_until ON reporting.node_presence USING btree (cluster_id, until);
alter table node_presence enable row level security;
alter table node_presence force row level security;
create policy own_organization on node_presence as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table outbox (
    "position" bigint not null generated always as identity,
    message_id uuid not null,
    subject text not null,
    body bytea not null,
    constraint outbox_message_id_key UNIQUE (message_id),
    constraint outbox_pkey PRIMARY KEY ("position")
);

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
    since timestamp with time zone not null,
    until timestamp with time zone
);
CREATE UNIQUE INDEX pod_presence_open ON reporting.pod_presence USING btree (cluster_id, pod_key) WHERE (until IS NULL);
CREATE INDEX pod_presence_until ON reporting.pod_presence USING btree (cluster_id, until);
alter table pod_presence enable row level security;
alter table pod_presence force row level security;
create policy own_organization on pod_presence as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

create table prices (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamp with time zone not null,
    usd_per_hour numeric not null,
    constraint prices_pkey PRIMARY KEY (region, instance_type, capacity_type, zone_id, effective_at),
    constraint prices_usd_per_hour_check CHECK ((usd_per_hour > (0)::numeric))
);

create table savings (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamp with time zone not null,
    slice_end_at timestamp with time zone not null,
    vcpu_hours numeric not null,
    gib_hours numeric not null,
    cost_usd numeric not null,
    baseline_cost_usd numeric not null,
    savings_usd numeric not null,
    constraint savings_check CHECK ((savings_usd = (baseline_cost_usd - cost_usd))),
    constraint savings_pkey PRIMARY KEY (cluster_id, slice_start_at)
);
alter table savings enable row level security;
alter table savings force row level security;
create policy own_organization on savings as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));

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

create table workload_costs (
    organization_id text not null,
    cluster_id text not null,
    slice_start_at timestamp with time zone not null,
    namespace text not null,
    kind text not null,
    name text not null,
    cost_usd numeric not null,
    constraint workload_costs_pkey PRIMARY KEY (cluster_id, slice_start_at, namespace, kind, name)
);
alter table workload_costs enable row level security;
alter table workload_costs force row level security;
create policy own_organization on workload_costs as permissive for all using ((organization_id = current_setting('app.organization_id'::text, true))) with check ((organization_id = current_setting('app.organization_id'::text, true)));
