-- A flag's level falls from when it was raised.
alter table pool_flags add column raised_at timestamptz;
update pool_flags set raised_at = expires_at - interval '30 minutes';
alter table pool_flags alter column raised_at set not null;

-- Every change of a region's prices has a number, so that a consumer knows what it missed.
create table price_sequences (
    region text not null,
    sequence bigint not null,
    primary key (region)
);
