-- So that instances and notices are not kept for ever: when they came, and when an instance ended.
alter table instance_pools add column seen_at timestamptz not null default now();
alter table instance_pools add column ended_at timestamptz;
create index instance_pools_by_end on instance_pools (ended_at) where ended_at is not null;
create index instance_pools_by_age on instance_pools (seen_at);

-- An event's own time is what its sender says; ours decides how long it is kept.
alter table instance_notices add column received_at timestamptz not null default now();
create index instance_notices_by_age on instance_notices (received_at);
