-- In every service's schema. What is to be sent leaves in the transaction that made it true; the relay sends it.
create table outbox (
    position bigint generated always as identity primary key,
    message_id uuid not null unique,
    subject text not null,
    body bytea not null
);

-- What was handled already, by consumer: the same message a second time changes nothing.
create table inbox (
    consumer text not null,
    message_id uuid not null,
    received_at timestamptz not null default now(),
    primary key (consumer, message_id)
);
create index inbox_received_at on inbox (received_at);

-- Who may work on what, until when; the token rises with each holder.
create table leases (
    name text primary key,
    holder text not null,
    token bigint not null,
    expires_at timestamptz not null
);
