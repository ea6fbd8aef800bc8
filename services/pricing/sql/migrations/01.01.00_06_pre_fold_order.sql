-- Folding a month and storing new prices waited for each other, and Postgres ended one of them.

-- What the function below inherits as its own: nobody's temporary table hides one of ours.
select set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Turns a month's single events into its days and drops them; returns how many events there were.
-- An event that came late, after its month was folded, is merged into the day that is there already.
create or replace function fold_price_month(month date) returns bigint
    language plpgsql security definer set search_path from current set lock_timeout = '5s' as $$
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
end $$;
