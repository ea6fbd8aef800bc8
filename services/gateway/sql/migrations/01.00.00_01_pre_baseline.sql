-- Row-level security: a row is visible to the organization named in app.organization_id, set per transaction.
-- Before the organization is known (a log-in, a refresh, an agent) a narrower key opens exactly the rows of one user,
-- one session or one cluster, for reading; what is written always needs the organization.
create function acting_organization() returns text language sql stable
    as $$ select nullif(current_setting('app.organization_id', true), '') $$;
create function acting_user() returns text language sql stable
    as $$ select nullif(current_setting('app.user_id', true), '') $$;
create function acting_session() returns text language sql stable
    as $$ select nullif(current_setting('app.session_id', true), '') $$;
create function acting_cluster() returns text language sql stable
    as $$ select nullif(current_setting('app.cluster_id', true), '') $$;

create table organizations (
    organization_id text primary key,
    name text not null,
    created_at timestamptz not null
);

-- A person may belong to several organizations, so users, and how often somebody tried, belong to none.
create table users (
    user_id text primary key,
    email text not null unique,
    password_hash text not null,
    created_at timestamptz not null
);

create table log_in_attempts (
    email text not null,
    attempted_at timestamptz not null
);
create index log_in_attempts_email on log_in_attempts (email, attempted_at);
create index log_in_attempts_attempted_at on log_in_attempts (attempted_at);

create table memberships (
    organization_id text not null references organizations,
    user_id text not null references users,
    role text not null check (role in ('owner', 'admin', 'editor', 'viewer')),
    created_at timestamptz not null,
    primary key (organization_id, user_id)
);
create index memberships_user on memberships (user_id);

-- A family of refresh tokens: one is live, the others were used.
create table sessions (
    session_id text primary key,
    organization_id text not null,
    user_id text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    foreign key (organization_id, user_id) references memberships
);

create table refresh_tokens (
    session_id text not null references sessions,
    secret_sha256 bytea not null,
    used_at timestamptz,
    primary key (session_id, secret_sha256)
);

create table cloud_accounts (
    account_id text primary key,
    organization_id text not null references organizations,
    name text not null,
    account_number text not null,
    role_arn text not null,
    sealed_external_id bytea not null,
    region text not null,
    created_at timestamptz not null,
    unique (organization_id, name)
);

create table clusters (
    cluster_id text primary key,
    organization_id text not null references organizations,
    account_id text not null references cloud_accounts,
    name text not null,
    created_at timestamptz not null,
    revision int not null,
    policy jsonb not null,
    node_template jsonb not null,
    last_heartbeat_at timestamptz,
    agent_version text,
    kubernetes_version text,
    unique (organization_id, name)
);

create table install_tokens (
    token_id text primary key,
    organization_id text not null references organizations,
    cluster_id text not null references clusters,
    secret_sha256 bytea not null,
    created_at timestamptz not null,
    first_used_at timestamptz,
    ended_at timestamptz
);
create index install_tokens_cluster on install_tokens (cluster_id) where ended_at is null;

create table agent_credentials (
    credential_id text primary key,
    organization_id text not null references organizations,
    cluster_id text not null references clusters,
    secret_sha256 bytea not null,
    created_at timestamptz not null,
    ended_at timestamptz
);
create index agent_credentials_cluster on agent_credentials (cluster_id) where ended_at is null;

-- What the gateway saw proposed: an approval names exactly this digest.
create table proposed_plans (
    plan_id uuid primary key,
    organization_id text not null references organizations,
    cluster_id text not null references clusters,
    sha256 text not null,
    "trigger" text not null,
    move_kinds text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    decision_note text not null,
    approved_by text,
    approved_at timestamptz
);
create index proposed_plans_cluster on proposed_plans (cluster_id, created_at desc);

do $$
declare
    tenant_table text;
begin
    foreach tenant_table in array array[
        'organizations', 'memberships', 'sessions', 'cloud_accounts', 'clusters', 'install_tokens',
        'agent_credentials', 'proposed_plans'
    ] loop
        execute format('alter table %I enable row level security', tenant_table);
        execute format('alter table %I force row level security', tenant_table);
        execute format(
            'create policy own_organization on %I using (organization_id = acting_organization())'
            ' with check (organization_id = acting_organization())', tenant_table);
    end loop;
end
$$;
create policy own_memberships on memberships for select using (user_id = acting_user());
create policy own_session on sessions for select using (session_id = acting_session());
create policy own_cluster on clusters for select using (cluster_id = acting_cluster());
