-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

create table advisor_ratings (
    region text not null,
    instance_type text not null,
    band smallint not null,
    constraint advisor_ratings_band_check CHECK (((band >= 0) AND (band <= 4))),
    constraint advisor_ratings_pkey PRIMARY KEY (region, instance_type)
);

create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamp with time zone not null default now(),
    constraint inbox_pkey PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_received_at ON pricing.inbox USING btree (received_at);

create table instance_notices (
    event_id text not null,
    instance_id text not null,
    account text not null,
    region text not null,
    kind text not null,
    at timestamp with time zone not null,
    constraint instance_notices_pkey PRIMARY KEY (event_id)
);

create table instance_pools (
    instance_id text not null,
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    constraint instance_pools_pkey PRIMARY KEY (instance_id)
);

create table instance_types (
    region text not null,
    name text not null,
    facts jsonb not null,
    constraint instance_types_pkey PRIMARY KEY (region, name)
);

create table leases (
    name text not null,
    holder text not null,
    token bigint not null,
    expires_at timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (name)
);

create table offered (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    constraint offered_pkey PRIMARY KEY (region, instance_type, zone_id)
);

create table offerings (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    usd_per_hour numeric not null,
    effective_at timestamp with time zone not null,
    constraint offerings_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type),
    constraint offerings_usd_per_hour_check CHECK ((usd_per_hour > (0)::numeric))
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
    reason text not null,
    expires_at timestamp with time zone not null,
    constraint pool_flags_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type)
);

create table price_points (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamp with time zone not null,
    usd_per_hour numeric not null,
    constraint price_points_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type, effective_at),
    constraint price_points_usd_per_hour_check CHECK ((usd_per_hour > (0)::numeric))
);

create table source_states (
    region text not null,
    source text not null,
    as_of timestamp with time zone not null,
    constraint source_states_pkey PRIMARY KEY (region, source)
);

create table zones (
    region text not null,
    zone text not null,
    zone_id text not null,
    constraint zones_pkey PRIMARY KEY (region, zone)
);
