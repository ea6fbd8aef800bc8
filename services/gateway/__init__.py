"""The gateway is the one door in for people and their tools, and the agents' door to the bus.

Owns: organizations, users, memberships, log_in_attempts, sessions, refresh_tokens, cloud_accounts, clusters,
install_tokens, agent_credentials, proposed_plans. In: HTTP under /api/v1; agent.evt.v1.heartbeat_sent,
optimizer.evt.v1.plan_proposed; NATS auth callout. Out: gateway.evt.v1.{cluster_registered,cluster_configured,
plan_approved,execution_stop_requested,audit_recorded}, optimizer.cmd.v1.propose_plan; serves
gateway.rpc.v1.{enroll_agent,lend_credentials}; asks optimizer, executor and reporting; sets safe mode.
"""
