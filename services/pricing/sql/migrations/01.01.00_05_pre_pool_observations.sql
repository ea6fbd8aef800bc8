-- What our own instances say of spot pools. Whose they were is not kept.
create table pool_observations (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    kind text not null check (kind in ('launched', 'ended', 'interrupted', 'insufficient')),
    -- The instance; for a launch that found no capacity the message that told it.
    subject text not null,
    at timestamptz not null,
    primary key (kind, subject)
);

create index pool_observations_by_region on pool_observations (region, at);

-- The last prediction for every pool that was observed; what is too old is not believed.
create table pool_risks (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    interruption_probability double precision not null check (interruption_probability between 0 and 1),
    source text not null,
    as_of timestamptz not null,
    primary key (region, instance_type, zone_id)
);
