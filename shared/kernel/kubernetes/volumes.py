"""Claims, the volumes bound to them, and where those can be attached.

An EBS volume lives in one zone: a pod whose claim is bound to it can only run there.
"""

from collections.abc import Mapping
from typing import Any

from shared.kernel.kubernetes import selectors
from shared.kernel.kubernetes.fields import Fields, named
from shared.kernel.workload import NodeSelectorTerm, Operator, Requirement, Volume

TOPOLOGY_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
"""On a PersistentVolume that old drivers made, in place of a node affinity; zones are joined by "__"."""


def parse_volume(
    claim: Mapping[str, Any],
    volume: Mapping[str, Any] | None = None,
    storage_class: Mapping[str, Any] | None = None,
) -> Volume:
    """Give the claim with what its volume, or else its storage class, demands of a node.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, namespace, name = named("persistentvolumeclaim", claim)
    is_bound = fields.child("status").text("phase") == "Bound" or volume is not None
    made_later = False
    terms: tuple[NodeSelectorTerm, ...] = ()
    if volume is not None:
        terms = _where_attachable(volume)
    elif storage_class is not None:
        rules, _, _ = named("storageclass", storage_class, namespaced=False)
        made_later = rules.text("volumeBindingMode") == "WaitForFirstConsumer"
        terms = () if is_bound else tuple(_topology(item) for item in rules.children("allowedTopologies"))
    return Volume(namespace, name, is_bound, terms, made_later)


def claimed_volume(claim: Mapping[str, Any]) -> str | None:
    """Give the name of the PersistentVolume that a claim is bound to."""
    fields, _, _ = named("persistentvolumeclaim", claim)
    return fields.child("spec").maybe_text("volumeName")


def claimed_class(claim: Mapping[str, Any]) -> str | None:
    """Give the storage class that a claim asks for; None: the cluster's default."""
    fields, _, _ = named("persistentvolumeclaim", claim)
    return fields.child("spec").maybe_text("storageClassName")


def is_default_class(storage_class: Mapping[str, Any]) -> bool:
    """Whether claims that name no class get this one."""
    fields, _, _ = named("storageclass", storage_class, namespaced=False)
    annotations = fields.child("metadata").child("annotations").value
    return annotations.get("storageclass.kubernetes.io/is-default-class") == "true"


def _where_attachable(volume: Mapping[str, Any]) -> tuple[NodeSelectorTerm, ...]:
    fields, _, _ = named("persistentvolume", volume, namespaced=False)
    required = fields.child("spec").child("nodeAffinity").maybe_child("required")
    if required is not None:
        return selectors.parse_node_terms(required)
    labels = fields.child("metadata").strings("labels")
    requirements = tuple(
        Requirement(key, Operator.IN, tuple(labels[key].split("__")))
        for key in TOPOLOGY_LABELS
        if key in labels
    )
    return (NodeSelectorTerm(requirements),) if requirements else ()


def _topology(fields: Fields) -> NodeSelectorTerm:
    return NodeSelectorTerm(
        tuple(
            Requirement(item.text("key"), Operator.IN, item.texts("values"))
            for item in fields.children("matchLabelExpressions")
        )
    )
