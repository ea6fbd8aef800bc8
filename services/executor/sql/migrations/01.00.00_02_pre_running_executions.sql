-- Asked four times a second, while the table holds a year of history.
create index executions_running on executions (started_at) where status = 'running';
