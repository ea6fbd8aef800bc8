-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

CREATE OR REPLACE FUNCTION pricing.drop_price_month(month date)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pricing', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
    days text := 'price_days_' || to_char(month, 'YYYY_MM');
begin
    perform pg_advisory_xact_lock(hashtext('price-months'));
    if to_regclass(days) is null then
        return false;
    end if;
    execute format('alter table price_days detach partition %I', days);
    execute format('drop table %I', days);
    return true;
end $function$
;
CREATE OR REPLACE FUNCTION pricing.ensure_price_months(months date[])
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pricing', 'pg_temp'
AS $function$
declare
    month date;
    name text;
    made integer := 0;
begin
    for month in select distinct date_trunc('month', m)::date from unnest(months) m order by 1 loop
        name := to_char(month, 'YYYY_MM');
        if to_regclass('price_points_' || name) is not null and to_regclass('price_days_' || name) is not null then
            continue;
        end if;
        perform pg_advisory_xact_lock(hashtext('price-months'));
        -- Read from the catalogue: what to_regclass said before the lock, it would say again.
        if not exists (select from price_months('price_points') p where p = month) then
            execute format('create table %I (like price_points including defaults including constraints)',
                'price_points_' || name);
            execute format('alter table price_points attach partition %I for values from (%L) to (%L)',
                'price_points_' || name,
                month::timestamp at time zone 'UTC',
                (month + interval '1 month')::timestamp at time zone 'UTC');
            made := made + 1;
        end if;
        if not exists (select from price_months('price_days') d where d = month) then
            execute format('create table %I (like price_days including defaults including constraints)',
                'price_days_' || name);
            execute format('alter table price_days attach partition %I for values from (%L) to (%L)',
                'price_days_' || name, month, (month + interval '1 month')::date);
            made := made + 1;
        end if;
    end loop;
    return made;
end $function$
;
CREATE OR REPLACE FUNCTION pricing.fold_price_month(month date)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pricing', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
    events text := 'price_points_' || to_char(month, 'YYYY_MM');
    folded bigint;
begin
    perform pg_advisory_xact_lock(hashtext('price-months'));
    if to_regclass(events) is null then
        return 0;
    end if;
    -- Detaching takes this lock in the end; whoever writes takes it first, and would wait for us with it in hand.
    lock table only price_points in access exclusive mode;
    -- A month that comes late, after its days were dropped, has none.
    perform ensure_price_months(array[month]);
    execute format('select count(*) from %I', events) into folded;
    execute format($fold$
        insert into price_days as held
        select region, instance_type, zone_id, capacity_type, day,
            (array_agg(usd_per_hour order by effective_at desc))[1], max(effective_at),
            min(least(usd_per_hour, coalesce(before, earlier.last_usd_per_hour))),
            max(greatest(usd_per_hour, coalesce(before, earlier.last_usd_per_hour)))
        from (
            select *, (effective_at at time zone 'UTC')::date as day,
                lag(usd_per_hour) over (
                    partition by region, instance_type, zone_id, capacity_type order by effective_at
                ) as before
            from %I
        ) events
        left join lateral (
            select d.last_usd_per_hour from price_days d
            where events.before is null
                and (d.region, d.instance_type, d.zone_id, d.capacity_type)
                    = (events.region, events.instance_type, events.zone_id, events.capacity_type)
                and d.day < events.day
            order by d.day desc limit 1
        ) earlier on true
        group by 1, 2, 3, 4, 5
        on conflict (region, instance_type, zone_id, capacity_type, day) do update set
            last_usd_per_hour = case when excluded.last_at > held.last_at
                then excluded.last_usd_per_hour else held.last_usd_per_hour end,
            last_at = greatest(held.last_at, excluded.last_at),
            lowest_usd_per_hour = least(held.lowest_usd_per_hour, excluded.lowest_usd_per_hour),
            highest_usd_per_hour = greatest(held.highest_usd_per_hour, excluded.highest_usd_per_hour)
    $fold$, events);
    execute format('alter table price_points detach partition %I', events);
    execute format('drop table %I', events);
    return folded;
end $function$
;
CREATE OR REPLACE FUNCTION pricing.price_months(kind text)
 RETURNS SETOF date
 LANGUAGE sql
 SET search_path TO 'pricing', 'pg_temp'
AS $function$
    select to_date(right(c.relname, 7), 'YYYY_MM')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(kind) and kind in ('price_points', 'price_days')
    order by 1
$function$
;
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
    received_at timestamp with time zone not null default now(),
    constraint instance_notices_pkey PRIMARY KEY (event_id)
);
CREATE INDEX instance_notices_by_age ON pricing.instance_notices USING btree (received_at);

create table instance_pools (
    instance_id text not null,
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    seen_at timestamp with time zone not null default now(),
    ended_at timestamp with time zone,
    constraint instance_pools_pkey PRIMARY KEY (instance_id)
);
CREATE INDEX instance_pools_by_age ON pricing.instance_pools USING btree (seen_at);
CREATE INDEX instance_pools_by_end ON pricing.instance_pools USING btree (ended_at) WHERE (ended_at IS NOT NULL);

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
    confirmed_at timestamp with time zone,
    constraint offerings_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type),
    constraint offerings_usd_per_hour_check CHECK ((usd_per_hour > (0)::numeric))
);
CREATE INDEX offerings_unconfirmed ON pricing.offerings USING btree (region) WHERE (confirmed_at IS NOT NULL);

create table on_demand_prices (
    region text not null,
    instance_type text not null,
    usd_per_hour numeric not null,
    constraint on_demand_prices_pkey PRIMARY KEY (region, instance_type),
    constraint on_demand_prices_usd_per_hour_check CHECK ((usd_per_hour > (0)::numeric))
);

create table outbox (
    "position" bigint not null generated always as identity,
    message_id uuid not null,
    subject text not null,
    body bytea not null,
    constraint outbox_message_id_key UNIQUE (message_id),
    constraint outbox_pkey PRIMARY KEY ("position")
);

create table placement_scores (
    region text not null,
    family text not null,
    zone_id text not null,
    score smallint not null,
    target_vcpus integer not null,
    as_of timestamp with time zone not null,
    constraint placement_scores_pkey PRIMARY KEY (region, family, zone_id),
    constraint placement_scores_score_check CHECK (((score >= 1) AND (score <= 10)))
);

create table pool_flags (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    reason text not null,
    expires_at timestamp with time zone not null,
    raised_at timestamp with time zone not null,
    constraint pool_flags_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type)
);

create table pool_observations (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    kind text not null,
    subject text not null,
    at timestamp with time zone not null,
    constraint pool_observations_kind_check CHECK ((kind = ANY (ARRAY['launched'::text, 'ended'::text, 'interrupted'::text, 'insufficient'::text]))),
    constraint pool_observations_pkey PRIMARY KEY (kind, subject)
);
CREATE INDEX pool_observations_by_region ON pricing.pool_observations USING btree (region, at);

create table pool_risks (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    interruption_probability double precision not null,
    source text not null,
    as_of timestamp with time zone not null,
    constraint pool_risks_interruption_probability_check CHECK (((interruption_probability >= (0)::double precision) AND (interruption_probability <= (1)::double precision))),
    constraint pool_risks_pkey PRIMARY KEY (region, instance_type, zone_id)
);

create table price_days (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    day date not null,
    last_usd_per_hour numeric not null,
    last_at timestamp with time zone not null,
    lowest_usd_per_hour numeric not null,
    highest_usd_per_hour numeric not null,
    constraint price_days_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type, day)
) partition by RANGE (day);

create table price_points (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamp with time zone not null,
    usd_per_hour numeric not null,
    constraint price_points_pkey PRIMARY KEY (region, instance_type, zone_id, capacity_type, effective_at),
    constraint price_points_usd_per_hour_check1 CHECK ((usd_per_hour > (0)::numeric))
) partition by RANGE (effective_at);

create table price_sequences (
    region text not null,
    sequence bigint not null,
    constraint price_sequences_pkey PRIMARY KEY (region)
);

create table refused_rows (
    region text not null,
    source text not null,
    reason text not null,
    "row" text not null,
    first_seen_at timestamp with time zone not null,
    last_seen_at timestamp with time zone not null,
    times bigint not null,
    constraint refused_rows_pkey PRIMARY KEY (region, source, reason, "row")
);

create table request_budgets (
    account text not null,
    region text not null,
    full_rate double precision,
    burst double precision,
    rate double precision,
    tokens double precision,
    as_of timestamp with time zone,
    halved_at timestamp with time zone,
    constraint request_budgets_pkey PRIMARY KEY (account, region)
);

create table source_refusals (
    region text not null,
    source text not null,
    until timestamp with time zone not null,
    constraint source_refusals_pkey PRIMARY KEY (region, source)
);

create table source_states (
    region text not null,
    source text not null,
    as_of timestamp with time zone not null,
    origin text not null default 'api'::text,
    constraint source_states_origin_check CHECK ((origin = ANY (ARRAY['api'::text, 'bulk_file'::text, 'upload'::text]))),
    constraint source_states_pkey PRIMARY KEY (region, source)
);

create table used_regions (
    region text not null,
    first_used_at timestamp with time zone not null,
    last_used_at timestamp with time zone not null,
    constraint used_regions_pkey PRIMARY KEY (region)
);

create table zones (
    region text not null,
    zone text not null,
    zone_id text not null,
    constraint zones_pkey PRIMARY KEY (region, zone)
);
