"""The agent: watches one cluster and does what it is told there.

Owns nothing but a bounded buffer, its credential and the outcomes of recent commands. Publishes
`agent.evt.v1.*.<cluster>`; answers `agent.cmd.v1.execute_command.<cluster>`, hears
`agent.cmd.v1.request_resync.<cluster>`, and asks `gateway.rpc.v1.enroll_agent.<cluster>` once.
"""
