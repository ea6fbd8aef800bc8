-- A pool that its source names no more: its price is as old as the last answer that named it, not as the source.
-- Null while the source names it, so that a poll which changes nothing writes nothing.
alter table offerings add column confirmed_at timestamptz;
create index offerings_unconfirmed on offerings (region) where confirmed_at is not null;
