-- What a budget is bound by is a setting of each replica: what the last one to ask had written was read by nobody.
alter table request_budgets drop column full_rate, drop column burst;
