"""Pods: a closed list of fields, and nothing else, of what the API gives.

No image, command, environment or annotation is kept: of the few annotations that mean something to us, only that.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.kernel.kubernetes import amounts, selectors
from shared.kernel.kubernetes.fields import Fields, named
from shared.kernel.kubernetes.spot_wishes import parse_spot_wish
from shared.kernel.workload import (
    HostPort,
    NodeSelectorTerm,
    Owner,
    Pod,
    PodAffinityTerm,
    PodPhase,
    PreferredTerm,
    TaintEffect,
    Toleration,
    TopologySpread,
)

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"
DO_NOT_DISRUPT_ANNOTATION = "karpenter.sh/do-not-disrupt"
SAFE_TO_EVICT_ANNOTATION = "cluster-autoscaler.kubernetes.io/safe-to-evict"
TEMPLATE_HASH_LABEL = "pod-template-hash"

OwnersOfReplicaSets = Mapping[tuple[str, str], Owner | None]
"""By namespace and name of a ReplicaSet: the Deployment above it, or None when it stands on its own."""


def parse_pod(obj: Mapping[str, Any], *, replica_sets: OwnersOfReplicaSets | None = None) -> Pod:
    """Give the pod; `replica_sets` names the Deployments of those that are known.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, namespace, name = named("pod", obj)
    owner = _owner(fields.child("metadata"), namespace, replica_sets or {})
    return pod_from(fields, namespace=namespace, name=name, owner=owner)


def controller_of(metadata: Fields) -> Owner | None:
    """Give the controller named by an object's ownerReferences."""
    for reference in metadata.children("ownerReferences"):
        if reference.flag("controller"):
            return Owner(reference.text("kind"), reference.text("name"))
    return None


def pod_from(fields: Fields, *, namespace: str, name: str, owner: Owner | None) -> Pod:
    """Give the pod that an object with metadata, spec and (perhaps) status describes; or its template."""
    metadata, spec, status = fields.child("metadata"), fields.child("spec"), fields.child("status")
    annotations = metadata.child("annotations").value
    affinity = spec.child("affinity")
    nodes = affinity.child("nodeAffinity")
    phase = status.text("phase", PodPhase.PENDING)
    if phase not in frozenset(PodPhase):
        raise status.error("phase", f'"{phase}" is not a phase of pods')
    return Pod(
        namespace=namespace,
        name=name,
        uid=metadata.text("uid"),
        requests=amounts.effective_requests(spec, status),
        limits=amounts.effective_limits(spec),
        phase=PodPhase(phase),
        node_name=spec.maybe_text("nodeName"),
        is_ready=has_condition(status, "Ready"),
        created_at=metadata.instant("creationTimestamp"),
        is_terminating=metadata.has("deletionTimestamp"),
        owner=owner,
        labels=metadata.strings("labels"),
        node_selector=spec.strings("nodeSelector"),
        node_affinity=_required_nodes(nodes),
        preferred_nodes=tuple(
            PreferredTerm(item.integer("weight"), selectors.parse_node_term(item.child("preference")))
            for item in nodes.children("preferredDuringSchedulingIgnoredDuringExecution")
        ),
        tolerations=tuple(_toleration(item) for item in spec.children("tolerations")),
        pod_affinity=_affinity_terms(affinity.child("podAffinity")),
        pod_anti_affinity=_affinity_terms(affinity.child("podAntiAffinity")),
        topology_spread=tuple(_spread(item) for item in spec.children("topologySpreadConstraints")),
        host_ports=tuple(sorted(set(_host_ports(spec)))),
        claims=tuple(_claims(spec, name)),
        has_local_storage=any(v.has("hostPath") or v.has("emptyDir") for v in spec.children("volumes")),
        priority=spec.integer("priority"),
        is_mirror=MIRROR_ANNOTATION in annotations or (owner is not None and owner.kind == "Node"),
        # Karpenter reads "true" only; whoever writes "yes" does not want to be disturbed either.
        do_not_disrupt=annotations.get(DO_NOT_DISRUPT_ANNOTATION, "false") != "false"
        or annotations.get(SAFE_TO_EVICT_ANNOTATION) == "false",
        termination_grace_seconds=spec.integer("terminationGracePeriodSeconds", 30),
        scheduling_gated=any(True for _ in spec.children("schedulingGates")),
        is_unschedulable=any(
            (item.text("type"), item.text("status"), item.text("reason"))
            == ("PodScheduled", "False", "Unschedulable")
            for item in status.children("conditions")
        ),
        has_resource_claims=any(True for _ in spec.children("resourceClaims")),
        os=spec.child("os").maybe_text("name"),
        restart_count=sum(item.integer("restartCount") for item in status.children("containerStatuses")),
        spot_wish=parse_spot_wish(annotations),
    )


def has_condition(status: Fields, kind: str) -> bool:
    """Whether a condition is there and true."""
    return any(
        item.text("type") == kind and item.text("status") == "True" for item in status.children("conditions")
    )


def parse_effect(fields: Fields) -> TaintEffect | None:
    """Give the effect of a taint or toleration; None when there is none."""
    effect = fields.text("effect")
    if not effect:
        return None
    if effect not in frozenset(TaintEffect):
        raise fields.error("effect", f'"{effect}" is not an effect of taints')
    return TaintEffect(effect)


def _owner(metadata: Fields, namespace: str, replica_sets: OwnersOfReplicaSets) -> Owner | None:
    owner = controller_of(metadata)
    if owner is None or owner.kind != "ReplicaSet":
        return owner
    if (namespace, owner.name) in replica_sets:
        return replica_sets[namespace, owner.name] or owner
    # A Deployment names its ReplicaSets <name>-<hash> and labels their pods with the same hash.
    template_hash = metadata.strings("labels").get(TEMPLATE_HASH_LABEL)
    deployment = owner.name.removesuffix(f"-{template_hash}") if template_hash else ""
    return Owner("Deployment", deployment) if deployment not in ("", owner.name) else owner


def _required_nodes(nodes: Fields) -> tuple[NodeSelectorTerm, ...]:
    required = nodes.maybe_child("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return ()
    # A selector without terms matches no node, and so does a term without requirements.
    return selectors.parse_node_terms(required) or (NodeSelectorTerm(),)


def _toleration(fields: Fields) -> Toleration:
    operator = fields.text("operator") or "Equal"
    if operator not in ("Equal", "Exists"):
        raise fields.error("operator", f'"{operator}" is neither Equal nor Exists')
    return Toleration(fields.text("key"), operator, fields.text("value"), parse_effect(fields))


def _affinity_terms(affinity: Fields) -> tuple[PodAffinityTerm, ...]:
    required = (
        _affinity_term(term, None)
        for term in affinity.children("requiredDuringSchedulingIgnoredDuringExecution")
    )
    preferred = (
        _affinity_term(item.child("podAffinityTerm"), item.integer("weight"))
        for item in affinity.children("preferredDuringSchedulingIgnoredDuringExecution")
    )
    return (*required, *preferred)


def _affinity_term(term: Fields, weight: int | None) -> PodAffinityTerm:
    if not term.text("topologyKey"):
        raise term.error("topologyKey", "is missing")
    return PodAffinityTerm(
        topology_key=term.text("topologyKey"),
        selector=selectors.parse_selector(term.maybe_child("labelSelector")),
        namespaces=term.texts("namespaces"),
        namespace_selector=selectors.parse_selector(term.maybe_child("namespaceSelector")),
        weight=weight,
        match_label_keys=term.texts("matchLabelKeys"),
        mismatch_label_keys=term.texts("mismatchLabelKeys"),
    )


def _spread(fields: Fields) -> TopologySpread:
    when = fields.text("whenUnsatisfiable", "DoNotSchedule")
    if when not in ("DoNotSchedule", "ScheduleAnyway"):
        raise fields.error("whenUnsatisfiable", f'"{when}" is neither DoNotSchedule nor ScheduleAnyway')
    if not fields.text("topologyKey"):
        raise fields.error("topologyKey", "is missing")
    max_skew = fields.integer("maxSkew", 1)
    if max_skew < 1:
        raise fields.error("maxSkew", f"{max_skew} is less than 1")
    return TopologySpread(
        topology_key=fields.text("topologyKey"),
        max_skew=max_skew,
        when_unsatisfiable=when,
        selector=selectors.parse_selector(fields.maybe_child("labelSelector")),
        min_domains=fields.maybe_integer("minDomains"),
        node_affinity_policy=fields.text("nodeAffinityPolicy", "Honor"),
        node_taints_policy=fields.text("nodeTaintsPolicy", "Ignore"),
        match_label_keys=fields.texts("matchLabelKeys"),
    )


def _host_ports(spec: Fields) -> Iterator[HostPort]:
    on_host_network = spec.flag("hostNetwork")
    sidecars = (c for c in spec.children("initContainers") if amounts.is_sidecar(c))
    for container in (*spec.children("containers"), *sidecars):
        for port in container.children("ports"):
            number = port.integer("hostPort") or (port.integer("containerPort") if on_host_network else 0)
            if number:
                host_ip = port.text("hostIP") or "0.0.0.0"
                yield HostPort(number, port.text("protocol") or "TCP", host_ip)


def _claims(spec: Fields, pod_name: str) -> Iterator[str]:
    for volume in spec.children("volumes"):
        if volume.has("persistentVolumeClaim"):
            yield volume.child("persistentVolumeClaim").text("claimName")
        elif volume.has("ephemeral"):
            yield f"{pod_name}-{volume.text('name')}"
