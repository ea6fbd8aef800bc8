-- In the schema of every service that keeps its own copy of what agents publish.
create table clusters (
    cluster_id text primary key,
    organization_id text not null,
    name text not null,
    account_id text not null,
    account_number text not null,
    region text not null
);

-- How far a cluster's copy is: the last contiguous delta. Its row lock orders the writers of one cluster.
create table cluster_marks (
    cluster_id text primary key,
    epoch bigint not null default 0,
    sequence bigint not null default 0,
    as_of timestamptz,
    resync_asked_at timestamptz
);

create table cluster_objects (
    cluster_id text not null,
    kind text not null,
    key text not null,
    body bytea not null,
    primary key (cluster_id, kind, key)
);

create table snapshot_chunks (
    cluster_id text not null,
    epoch bigint not null,
    sequence bigint not null,
    index int not null,
    count int not null,
    as_of timestamptz not null,
    body bytea not null,
    primary key (cluster_id, epoch, sequence, index)
);

-- Deltas that came before the ones they follow.
create table early_deltas (
    cluster_id text not null,
    epoch bigint not null,
    sequence bigint not null,
    occurred_at timestamptz not null,
    body bytea not null,
    received_at timestamptz not null default now(),
    primary key (cluster_id, epoch, sequence)
);
