"""Which fleet a cluster should have, and why.

Owns what the agents said of each cluster, its plans and why the last planning proposed nothing. Hears the
agents' snapshots and deltas, price changes and pool flags; asks pricing for quotes; says `plan_proposed` or
`planning_skipped`.
"""
