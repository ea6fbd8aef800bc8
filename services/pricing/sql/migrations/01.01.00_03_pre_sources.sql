-- Where a source's answer came from: its API, AWS's own bulk file, or a file that an operator gave us.
alter table source_states add column origin text not null default 'api'
    check (origin in ('api', 'bulk_file', 'upload'));

-- On-demand prices are of a region, not of a zone: kept as they were read, so that a zone or a type that is offered
-- later has its price at once, also where nobody can be asked (an isolated VPC).
create table on_demand_prices (
    region text not null,
    instance_type text not null,
    usd_per_hour numeric not null check (usd_per_hour > 0),
    primary key (region, instance_type)
);
insert into on_demand_prices
select region, instance_type, max(usd_per_hour) from offerings where capacity_type = 'on-demand' group by 1, 2;

-- What AWS does not let us ask: not asked again before then.
create table source_refusals (
    region text not null,
    source text not null,
    until timestamptz not null,
    primary key (region, source)
);

-- Rows that were not believed, so that somebody can see what a source sends; kept few (see trim_quarantine).
create table refused_rows (
    region text not null,
    source text not null,
    reason text not null,
    row text not null,
    first_seen_at timestamptz not null,
    last_seen_at timestamptz not null,
    times bigint not null,
    primary key (region, source, reason, row)
);

-- How likely EC2 holds a request for capacity of a family possible, 1 to 10, as it said when asked.
create table placement_scores (
    region text not null,
    family text not null,
    zone_id text not null,
    score smallint not null check (score between 1 and 10),
    target_vcpus integer not null,
    as_of timestamptz not null,
    primary key (region, family, zone_id)
);
