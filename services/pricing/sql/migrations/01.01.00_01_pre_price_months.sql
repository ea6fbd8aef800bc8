-- Price history by month: old months leave by dropping a table, not by deleting millions of rows.

-- What the functions below inherit as theirs: nobody's temporary table hides one of ours.
select set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

alter table price_points rename to price_points_unparted;
alter index price_points_pkey rename to price_points_unparted_pkey;

-- Change events only; the same event stored twice is one row.
create table price_points (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    effective_at timestamptz not null,
    usd_per_hour numeric not null check (usd_per_hour > 0),
    primary key (region, instance_type, zone_id, capacity_type, effective_at)
) partition by range (effective_at);

-- What is left of a month whose single events are gone: one row for each pool and day (UTC) with an event.
-- The lowest and highest price of a day include the one that was in force when it began.
create table price_days (
    region text not null,
    instance_type text not null,
    zone_id text not null,
    capacity_type text not null,
    day date not null,
    last_usd_per_hour numeric not null,
    last_at timestamptz not null,
    lowest_usd_per_hour numeric not null,
    highest_usd_per_hour numeric not null,
    primary key (region, instance_type, zone_id, capacity_type, day)
) partition by range (day);

-- The running role may not make or drop tables; it may call these four, which do nothing else.

-- Makes the partitions of these months (any day of each) in both tables; returns how many were new.
-- A new table is attached, not made in place: that keeps readers and writers of the others going.
create function ensure_price_months(months date[]) returns integer
    language plpgsql security definer set search_path from current as $$
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
end $$;

-- Turns a month's single events into its days and drops them; returns how many events there were.
-- An event that came late, after its month was folded, is merged into the day that is there already.
create function fold_price_month(month date) returns bigint
    language plpgsql security definer set search_path from current set lock_timeout = '5s' as $$
declare
    events text := 'price_points_' || to_char(month, 'YYYY_MM');
    folded bigint;
begin
    perform pg_advisory_xact_lock(hashtext('price-months'));
    if to_regclass(events) is null then
        return 0;
    end if;
    execute format('lock table %I in access exclusive mode', events);
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
end $$;

-- Drops the days of a month for good; returns whether there were any.
create function drop_price_month(month date) returns boolean
    language plpgsql security definer set search_path from current set lock_timeout = '5s' as $$
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
end $$;

-- The first day of each month that has a partition of `kind`, price_points or price_days.
create function price_months(kind text) returns setof date
    language sql volatile set search_path from current as $$
    select to_date(right(c.relname, 7), 'YYYY_MM')
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(kind) and kind in ('price_points', 'price_days')
    order by 1
$$;

revoke all on function ensure_price_months, fold_price_month, drop_price_month, price_months from public;
do $$ begin
    if exists (select from pg_roles where rolname = current_schema()) then
        execute format('grant execute on function ensure_price_months, fold_price_month, drop_price_month,'
            ' price_months to %I', current_schema());
    end if;
end $$;

select ensure_price_months(array(
    select month::date from generate_series(now() - interval '3 months', now() + interval '3 months', '1 month') month
    union
    select distinct date_trunc('month', effective_at at time zone 'UTC')::date from price_points_unparted
));
insert into price_points (region, instance_type, zone_id, capacity_type, effective_at, usd_per_hour)
select region, instance_type, zone_id, capacity_type, effective_at, usd_per_hour from price_points_unparted;
drop table price_points_unparted;
