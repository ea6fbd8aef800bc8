"""Reporting: what was spent, what was saved against which baseline, who did what.

Owns: presence of nodes and pods, prices by time, baselines, node_hours, workload_costs, savings, activity, audit_log.
In: a copy of every cluster (agents), registrations, approvals and audit (gateway), plans (optimizer), prices (pricing),
executions (executor).
Out: `reporting.evt.v1.savings_booked`; answers get_savings, get_activity and get_audit.
"""
