-- What all replicas together may ask AWS for: of each account and region what is left, and how fast it comes back.
create table request_budgets (
    account text not null,
    region text not null,
    full_rate double precision,
    burst double precision,
    rate double precision,
    tokens double precision,
    as_of timestamptz,
    halved_at timestamptz,
    primary key (account, region)
);
