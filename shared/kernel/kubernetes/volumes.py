"""Claims, the volumes bound to them, and where those can be attached.

An EBS volume lives in one zone: a pod whose claim is bound to it can only run there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from shared.kernel.kubernetes import amounts, selectors
from shared.kernel.kubernetes.fields import Fields, named
from shared.kernel.scheduling import selectors as evaluation
from shared.kernel.scheduling.volumes import EBS_DRIVER
from shared.kernel.workload import NodeSelectorTerm, Operator, Requirement, Volume

TOPOLOGY_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
"""On a PersistentVolume that old drivers made; several zones are joined by "__"."""
IN_TREE_EBS = "kubernetes.io/aws-ebs"
"""What the CSI driver answers for, too."""
NO_PROVISIONER = "kubernetes.io/no-provisioner"
"""Of classes whose volumes are made by hand."""
UNSEEN = "is bound to a persistentvolume that is not known"
NO_SUCH_CLASS = "asks for storage class {}, which is not known"
NO_DEFAULT_CLASS = "asks for the default storage class, and none is known"
SELECTED_NODE_ANNOTATION = "volume.kubernetes.io/selected-node"
ANY_NODE = (NodeSelectorTerm(fields=(Requirement(evaluation.NAME_FIELD, Operator.EXISTS),)),)


def parse_volume(
    claim: Mapping[str, Any],
    volume: Mapping[str, Any] | None = None,
    storage_class: Mapping[str, Any] | None = None,
    *,
    others: Iterable[Mapping[str, Any]] = (),
) -> Volume:
    """Give the claim with what its volume, or else its storage class, demands of a node.

    `others` are the cluster's volumes: a class that makes none can only bind one of those.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, namespace, name = named("persistentvolumeclaim", claim)
    spec, phase = fields.child("spec"), fields.child("status").text("phase")
    # A claim in a file written by hand has no status: its volume is word enough.
    is_bound = phase == "Bound" or (volume is not None and phase in ("", "Lost"))
    known = Volume(
        namespace,
        name,
        is_bound,
        single_pod="ReadWriteOncePod" in spec.texts("accessModes"),
        refusal=_refusal(fields.child("metadata"), phase),
        driver=_driver(volume, storage_class),
    )
    if is_bound:
        if volume is None:  # in which zone it lies is not known, so no node can be said to reach it
            return replace(known, refusal=known.refusal or UNSEEN)
        return replace(known, node_affinity=_affinity(volume), zone_labels=_zone_labels(volume))
    if spec.text("volumeName"):
        return known  # a volume that is named, yet not bound, is waited for
    if storage_class is None:
        return replace(known, refusal=known.refusal or _no_class(claimed_class(claim)))
    rules, _, class_name = named("storageclass", storage_class, namespaced=False)
    if rules.text("volumeBindingMode") != "WaitForFirstConsumer":
        return known
    terms = tuple(_topology(item) for item in rules.children("allowedTopologies"))
    if rules.text("provisioner") == NO_PROVISIONER:
        terms = tuple(term for other in others for term in _offer(other, spec, class_name))
        terms = terms or (NodeSelectorTerm(),)
    return replace(known, node_affinity=_on(_selected_node(fields), terms), wait_for_first_consumer=True)


def claimed_volume(claim: Mapping[str, Any]) -> str | None:
    """Give the name of the PersistentVolume that a claim is bound to."""
    fields, _, _ = named("persistentvolumeclaim", claim)
    return fields.child("spec").maybe_text("volumeName")


def is_class_unknown(refusal: str) -> bool:
    """Whether a claim is refused because nobody knows the storage class that it asks for."""
    before, after = NO_SUCH_CLASS.split("{}")
    return refusal == NO_DEFAULT_CLASS or (refusal.startswith(before) and refusal.endswith(after))


def claimed_class(claim: Mapping[str, Any]) -> str | None:
    """Give the storage class that a claim asks for; None: the cluster's default; "": none at all."""
    spec = named("persistentvolumeclaim", claim)[0].child("spec")
    return spec.text("storageClassName") if spec.has("storageClassName") else None


def is_default_class(storage_class: Mapping[str, Any]) -> bool:
    """Whether claims that name no class get this one."""
    fields, _, _ = named("storageclass", storage_class, namespaced=False)
    annotations = fields.child("metadata").child("annotations").value
    return annotations.get("storageclass.kubernetes.io/is-default-class") == "true"


def _refusal(metadata: Fields, phase: str) -> str | None:
    if metadata.has("deletionTimestamp"):
        return "is being deleted"
    return "bound to non-existent persistentvolume" if phase == "Lost" else None


def _no_class(name: str | None) -> str | None:
    """Say what is not known of a class that is not there; a claim may well ask for none ("")."""
    if name is None:
        return NO_DEFAULT_CLASS
    return NO_SUCH_CLASS.format(name) if name else None


def _driver(volume: Mapping[str, Any] | None, storage_class: Mapping[str, Any] | None) -> str | None:
    if volume is not None:
        spec = named("persistentvolume", volume, namespaced=False)[0].child("spec")
        if spec.has("awsElasticBlockStore"):
            return EBS_DRIVER
        return spec.child("csi").text("driver")
    if storage_class is None:
        return None
    provisioner = named("storageclass", storage_class, namespaced=False)[0].text("provisioner")
    if provisioner == NO_PROVISIONER:
        return ""
    return EBS_DRIVER if provisioner == IN_TREE_EBS else provisioner or None


def _affinity(volume: Mapping[str, Any]) -> tuple[NodeSelectorTerm, ...]:
    fields, _, _ = named("persistentvolume", volume, namespaced=False)
    required = fields.child("spec").child("nodeAffinity").maybe_child("required")
    if required is None:
        return ()
    return selectors.parse_node_terms(required) or (NodeSelectorTerm(),)


def _zone_labels(volume: Mapping[str, Any]) -> tuple[Requirement, ...]:
    fields, _, _ = named("persistentvolume", volume, namespaced=False)
    labels = fields.child("metadata").strings("labels")
    return tuple(
        Requirement(key, Operator.IN, tuple(labels[key].split("__")))
        for key in TOPOLOGY_LABELS
        if labels.get(key)
    )


def _offer(volume: Mapping[str, Any], claim: Fields, class_name: str) -> tuple[NodeSelectorTerm, ...]:
    """Give where a volume could serve the claim; nothing if it could not at all."""
    fields, _, _ = named("persistentvolume", volume, namespaced=False)
    spec = fields.child("spec")
    has = amounts.parse_amounts(spec, "capacity", "capacity").get("storage", 0)
    wants = amounts.parse_amounts(claim.child("resources"), "requests", "request").get("storage", 0)
    if (
        spec.has("claimRef")
        or fields.child("metadata").has("deletionTimestamp")
        or spec.text("storageClassName") != class_name
        or has < wants
        or not set(claim.texts("accessModes")) <= set(spec.texts("accessModes"))
        or (claim.text("volumeMode") or "Filesystem") != (spec.text("volumeMode") or "Filesystem")
        or not _is_selected(claim, fields)
    ):
        return ()
    return _affinity(volume) or ANY_NODE


def _is_selected(claim: Fields, volume: Fields) -> bool:
    selector = selectors.parse_selector(claim.maybe_child("selector"))
    labels = volume.child("metadata").strings("labels")
    return selector is None or evaluation.selects(selector, labels)


def _selected_node(fields: Fields) -> str | None:
    annotations = fields.child("metadata").child("annotations")
    return annotations.maybe_text(SELECTED_NODE_ANNOTATION)


def _on(node_name: str | None, terms: tuple[NodeSelectorTerm, ...]) -> tuple[NodeSelectorTerm, ...]:
    """Narrow terms to the node for which a volume is being made already."""
    if node_name is None:
        return terms
    here = Requirement(evaluation.NAME_FIELD, Operator.IN, (node_name,))
    return tuple(
        NodeSelectorTerm(term.labels, (*term.fields, here))
        for term in terms or (NodeSelectorTerm(),)
        if not terms or term.labels or term.fields
    ) or (NodeSelectorTerm(),)


def _topology(fields: Fields) -> NodeSelectorTerm:
    return NodeSelectorTerm(
        tuple(
            Requirement(item.text("key"), Operator.IN, item.texts("values"))
            for item in fields.children("matchLabelExpressions")
        )
    )
