"""The exact request to launch one instance, as text: it is stored before it is sent, and sent again unchanged."""

import json
from collections.abc import Mapping
from uuid import UUID

from shared.kernel.pools import CapacityType, PoolKey

CLUSTER_TAG = "spot-optimizer/cluster"
EXECUTION_TAG = "spot-optimizer/execution"
STEP_TAG = "spot-optimizer/step"


def tags_for(
    *, cluster_id: str, cluster_name: str, execution_id: UUID, step_id: UUID, node_template: str
) -> dict[str, str]:
    """Give the tags of an instance: for the orphan sweep, for Kubernetes, and for people."""
    return {
        CLUSTER_TAG: cluster_id,
        EXECUTION_TAG: str(execution_id),
        STEP_TAG: str(step_id),
        f"kubernetes.io/cluster/{cluster_name}": "owned",
        "Name": f"{cluster_name}-{node_template}",
    }


def fleet_request(
    *,
    client_token: str,
    launch_template_id: str,
    launch_template_version: str,
    subnet_id: str,
    pool: PoolKey,
    tags: Mapping[str, str],
) -> str:
    """Give CreateFleet's arguments for one instance of one pool, as JSON with sorted keys."""
    kind = "spot" if pool.capacity_type is CapacityType.SPOT else "on-demand"
    target = "SpotTargetCapacity" if kind == "spot" else "OnDemandTargetCapacity"
    return json.dumps(
        {
            "ClientToken": client_token,
            "Type": "instant",
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": {
                        "LaunchTemplateId": launch_template_id,
                        "Version": launch_template_version,
                    },
                    "Overrides": [{"InstanceType": pool.instance_type, "SubnetId": subnet_id}],
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": 1,
                target: 1,
                "DefaultTargetCapacityType": kind,
            },
            "TagSpecifications": [
                {
                    "ResourceType": "instance",
                    "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
                }
            ],
        },
        sort_keys=True,
    )
