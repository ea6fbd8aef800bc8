"""Nodes, and what their labels and provider id say about the EC2 instance below."""

import re
from collections.abc import Mapping
from typing import Any

from shared.kernel.kubernetes import amounts
from shared.kernel.kubernetes.fields import Fields, named
from shared.kernel.kubernetes.pods import DO_NOT_DISRUPT_ANNOTATION, has_condition, parse_effect
from shared.kernel.pools import CapacityType
from shared.kernel.workload import Node, Taint

INSTANCE_TYPE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
ZONE_ID_LABELS = ("topology.k8s.aws/zone-id",)
CAPACITY_TYPE_LABELS = ("karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType")
NODE_POOL_LABELS = ("karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup", "alpha.eksctl.io/nodegroup-name")
SCALE_DOWN_DISABLED_ANNOTATION = "cluster-autoscaler.kubernetes.io/scale-down-disabled"

CAPACITY_TYPES = {
    "spot": CapacityType.SPOT,
    "on-demand": CapacityType.ON_DEMAND,
    "reserved": CapacityType.RESERVED,
    "capacity-block": CapacityType.RESERVED,
}
INSTANCE_ID = re.compile(r"aws://.*/(i-[0-9a-f]{8,17})", re.ASCII)
VOLUMES_RESOURCE = "attachable-volumes-aws-ebs"
DEFAULT_MAX_PODS = 110
"""Of a kubelet that does not say."""


def parse_node(obj: Mapping[str, Any], csi_node: Mapping[str, Any] | None = None) -> Node:
    """Give the node; its CSINode says how many volumes each driver may attach to it.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, _, name = named("node", obj, namespaced=False)
    metadata, spec, status = fields.child("metadata"), fields.child("spec"), fields.child("status")
    labels = metadata.strings("labels")
    annotations = metadata.child("annotations").value
    capacity = amounts.parse_amounts(status, "capacity", "capacity")
    allocatable = amounts.parse_amounts(status, "allocatable", "allocatable") or capacity
    volumes = allocatable.pop(VOLUMES_RESOURCE, None)
    capacity.pop(VOLUMES_RESOURCE, None)
    instance = INSTANCE_ID.fullmatch(spec.text("providerID"))
    capacity_type = _first(labels, CAPACITY_TYPE_LABELS)
    return Node(
        name=name,
        uid=metadata.text("uid"),
        allocatable=amounts.to_resources(allocatable),
        capacity=amounts.to_resources(capacity),
        max_pods=allocatable.get("pods", DEFAULT_MAX_PODS),
        labels=labels,
        taints=tuple(_taint(item) for item in spec.children("taints")),
        is_unschedulable=spec.flag("unschedulable"),
        # A kubelet reports conditions from its first breath; a file without any was written by hand.
        is_ready=has_condition(status, "Ready") or not status.has("conditions"),
        instance_id=instance[1] if instance else None,
        instance_type=_first(labels, INSTANCE_TYPE_LABELS),
        zone=_first(labels, ZONE_LABELS),
        zone_id=_first(labels, ZONE_ID_LABELS),
        capacity_type=CAPACITY_TYPES.get((capacity_type or "").lower().replace("_", "-")),
        node_pool=_first(labels, NODE_POOL_LABELS),
        created_at=metadata.instant("creationTimestamp"),
        do_not_disrupt=annotations.get(DO_NOT_DISRUPT_ANNOTATION, "false") != "false"
        or annotations.get(SCALE_DOWN_DISABLED_ANNOTATION) == "true",
        attachable_volumes=volumes,
        volume_limits={} if csi_node is None else parse_volume_limits(csi_node),
    )


def parse_volume_limits(csi_node: Mapping[str, Any]) -> dict[str, int]:
    """Give the limits of a CSINode by driver; a driver without one is left out.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, _, _ = named("csinode", csi_node, namespaced=False)
    return {
        driver.text("name"): driver.child("allocatable").integer("count")
        for driver in fields.child("spec").children("drivers")
        if driver.child("allocatable").has("count")
    }


def _taint(fields: Fields) -> Taint:
    effect = parse_effect(fields)
    if not fields.text("key"):
        raise fields.error("key", "is missing")
    if effect is None:
        raise fields.error("effect", "is missing")
    return Taint(fields.text("key"), effect, fields.text("value"))


def _first(labels: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((labels[name] for name in names if labels.get(name)), None)
