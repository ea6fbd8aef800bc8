-- Whether an execution did all that its plan said; null: it ended before this was kept.
alter table executions add column has_succeeded boolean;
