-- Where clusters run, not whose they are: their regions are priced besides the operator's own.
create table used_regions (
    region text primary key,
    first_used_at timestamptz not null,
    -- When a cluster was last registered there, or a plan last asked for prices.
    last_used_at timestamptz not null
);
