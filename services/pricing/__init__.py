"""Pricing knows what every offering costs, how old that knowledge is, and how likely it is to be taken away.

Owns: zones, instance_types, offerings (now), on_demand_prices, price_points and price_days (history, by month),
source_states, source_refusals, refused_rows, placement_scores, advisor_ratings, instance_notices, pool_flags,
instance_pools, pool_observations, pool_risks, used_regions. In: gateway.evt.v1.cluster_registered;
executor.evt.v1.{instance_launched,instance_terminated,node_interrupted,capacity_insufficient}; EC2, Price List,
Spot Advisor, and EventBridge events through SQS. Out:
pricing.evt.v1.{offering_prices_changed,interruption_risk_changed,pool_flagged,instance_notice_received};
serves pricing.rpc.v1.{quote_offerings,list_flags,predict_interruption,upload_on_demand_prices}.
"""
