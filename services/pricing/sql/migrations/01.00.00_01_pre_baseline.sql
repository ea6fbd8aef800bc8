-- Zones, types and prices: what is offered, and what it costs.
create table zones (
    region text not null,
    zone text not null,
    zone_id text not null,
    primary key (region, zone)
);

create table instance_types (
    region text not null,
    name text not null,
    facts jsonb not null,
    primary key (region, name)
);

create table offered (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    primary key (region, instance_type, zone_id)
);

-- The price in force of every pool.
create table offerings (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    usd_per_hour numeric not null check (usd_per_hour > 0),
    effective_at timestamptz not null,
    primary key (region, instance_type, zone_id, capacity_type)
);

-- Change events only; the same event stored twice is one row.
create table price_points (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamptz not null,
    usd_per_hour numeric not null check (usd_per_hour > 0),
    primary key (region, instance_type, zone_id, capacity_type, effective_at)
);

-- When each source last answered: the age of every price that came from it.
create table source_states (
    region text not null,
    source text not null,
    as_of timestamptz not null,
    primary key (region, source)
);

create table advisor_ratings (
    region text not null,
    instance_type text not null,
    band smallint not null check (band between 0 and 4),
    primary key (region, instance_type)
);

create table instance_notices (
    event_id text primary key,
    instance_id text not null,
    account text not null,
    region text not null,
    kind text not null,
    at timestamptz not null
);

create table pool_flags (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    reason text not null,
    expires_at timestamptz not null,
    primary key (region, instance_type, zone_id, capacity_type)
);

create table instance_pools (
    instance_id text primary key,
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null
);
