-- Made by `python -m deploy.tools.database_schemas` from the migrations; not to be edited.

CREATE OR REPLACE FUNCTION gateway.acting_cluster()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$ select nullif(current_setting('app.cluster_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION gateway.acting_organization()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$ select nullif(current_setting('app.organization_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION gateway.acting_session()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$ select nullif(current_setting('app.session_id', true), '') $function$
;
CREATE OR REPLACE FUNCTION gateway.acting_user()
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$ select nullif(current_setting('app.user_id', true), '') $function$
;
create table agent_credentials (
    credential_id text not null,
    organization_id text not null,
    cluster_id text not null,
    secret_sha256 bytea not null,
    created_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    constraint agent_credentials_pkey PRIMARY KEY (credential_id)
);
CREATE INDEX agent_credentials_cluster ON gateway.agent_credentials USING btree (cluster_id) WHERE (ended_at IS NULL);
alter table agent_credentials enable row level security;
alter table agent_credentials force row level security;
create policy own_organization on agent_credentials as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table cloud_accounts (
    account_id text not null,
    organization_id text not null,
    name text not null,
    account_number text not null,
    role_arn text not null,
    sealed_external_id bytea not null,
    region text not null,
    created_at timestamp with time zone not null,
    constraint cloud_accounts_organization_id_name_key UNIQUE (organization_id, name),
    constraint cloud_accounts_pkey PRIMARY KEY (account_id)
);
alter table cloud_accounts enable row level security;
alter table cloud_accounts force row level security;
create policy own_organization on cloud_accounts as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table clusters (
    cluster_id text not null,
    organization_id text not null,
    account_id text not null,
    name text not null,
    created_at timestamp with time zone not null,
    revision integer not null,
    policy jsonb not null,
    node_template jsonb not null,
    last_heartbeat_at timestamp with time zone,
    agent_version text,
    kubernetes_version text,
    constraint clusters_organization_id_name_key UNIQUE (organization_id, name),
    constraint clusters_pkey PRIMARY KEY (cluster_id)
);
alter table clusters enable row level security;
alter table clusters force row level security;
create policy own_cluster on clusters as permissive for select using ((cluster_id = acting_cluster()));
create policy own_organization on clusters as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamp with time zone not null default now(),
    constraint inbox_pkey PRIMARY KEY (consumer, message_id)
);
CREATE INDEX inbox_received_at ON gateway.inbox USING btree (received_at);

create table install_tokens (
    token_id text not null,
    organization_id text not null,
    cluster_id text not null,
    secret_sha256 bytea not null,
    created_at timestamp with time zone not null,
    first_used_at timestamp with time zone,
    ended_at timestamp with time zone,
    constraint install_tokens_pkey PRIMARY KEY (token_id)
);
CREATE INDEX install_tokens_cluster ON gateway.install_tokens USING btree (cluster_id) WHERE (ended_at IS NULL);
alter table install_tokens enable row level security;
alter table install_tokens force row level security;
create policy own_organization on install_tokens as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table leases (
    name text not null,
    holder text not null,
    token bigint not null,
    expires_at timestamp with time zone not null,
    constraint leases_pkey PRIMARY KEY (name)
);

create table log_in_attempts (
    email text not null,
    attempted_at timestamp with time zone not null
);
CREATE INDEX log_in_attempts_attempted_at ON gateway.log_in_attempts USING btree (attempted_at);
CREATE INDEX log_in_attempts_email ON gateway.log_in_attempts USING btree (email, attempted_at);

create table memberships (
    organization_id text not null,
    user_id text not null,
    role text not null,
    created_at timestamp with time zone not null,
    constraint memberships_pkey PRIMARY KEY (organization_id, user_id),
    constraint memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'editor'::text, 'viewer'::text])))
);
CREATE INDEX memberships_user ON gateway.memberships USING btree (user_id);
alter table memberships enable row level security;
alter table memberships force row level security;
create policy own_memberships on memberships as permissive for select using ((user_id = acting_user()));
create policy own_organization on memberships as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table organizations (
    organization_id text not null,
    name text not null,
    created_at timestamp with time zone not null,
    constraint organizations_pkey PRIMARY KEY (organization_id)
);
alter table organizations enable row level security;
alter table organizations force row level security;
create policy own_organization on organizations as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table outbox (
    "position" bigint not null generated always as identity,
    message_id uuid not null,
    subject text not null,
    body bytea not null,
    constraint outbox_message_id_key UNIQUE (message_id),
    constraint outbox_pkey PRIMARY KEY ("position")
);

create table proposed_plans (
    plan_id uuid not null,
    organization_id text not null,
    cluster_id text not null,
    sha256 text not null,
    trigger text not null,
    move_kinds text[] not null,
    created_at timestamp with time zone not null,
    expires_at timestamp with time zone not null,
    decision_note text not null,
    approved_by text,
    approved_at timestamp with time zone,
    constraint proposed_plans_pkey PRIMARY KEY (plan_id)
);
CREATE INDEX proposed_plans_cluster ON gateway.proposed_plans USING btree (cluster_id, created_at DESC);
alter table proposed_plans enable row level security;
alter table proposed_plans force row level security;
create policy own_organization on proposed_plans as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));

create table refresh_tokens (
    session_id text not null,
    secret_sha256 bytea not null,
    used_at timestamp with time zone,
    constraint refresh_tokens_pkey PRIMARY KEY (session_id, secret_sha256)
);

create table sessions (
    session_id text not null,
    organization_id text not null,
    user_id text not null,
    created_at timestamp with time zone not null,
    expires_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    constraint sessions_pkey PRIMARY KEY (session_id)
);
alter table sessions enable row level security;
alter table sessions force row level security;
create policy own_organization on sessions as permissive for all using ((organization_id = acting_organization())) with check ((organization_id = acting_organization()));
create policy own_session on sessions as permissive for select using ((session_id = acting_session()));

create table users (
    user_id text not null,
    email text not null,
    password_hash text not null,
    created_at timestamp with time zone not null,
    constraint users_email_key UNIQUE (email),
    constraint users_pkey PRIMARY KEY (user_id)
);

alter table agent_credentials add constraint agent_credentials_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters(cluster_id);
alter table agent_credentials add constraint agent_credentials_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table cloud_accounts add constraint cloud_accounts_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table clusters add constraint clusters_account_id_fkey FOREIGN KEY (account_id) REFERENCES cloud_accounts(account_id);
alter table clusters add constraint clusters_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table install_tokens add constraint install_tokens_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters(cluster_id);
alter table install_tokens add constraint install_tokens_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table memberships add constraint memberships_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table memberships add constraint memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES users(user_id);
alter table proposed_plans add constraint proposed_plans_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES clusters(cluster_id);
alter table proposed_plans add constraint proposed_plans_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES organizations(organization_id);
alter table refresh_tokens add constraint refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES sessions(session_id);
alter table sessions add constraint sessions_organization_id_user_id_fkey FOREIGN KEY (organization_id, user_id) REFERENCES memberships(organization_id, user_id);
