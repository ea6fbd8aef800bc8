"""Carries out approved plans, one safe and recorded step at a time; nothing else writes to a cloud or a cluster.

Owns approved plans, executions, steps and attempts, its own copy of every cluster, and the key that signs
commands to agents. In: plan_proposed, plan_approved, execution_stop_requested, cluster_registered,
cluster_configured, the agents' snapshots, deltas, heartbeats and outcomes, pool_flagged and
instance_notice_received. Out: execution_started, step_changed, execution_finished, instance_launched,
instance_terminated, node_interrupted, capacity_insufficient, and signed commands to agents.
"""
