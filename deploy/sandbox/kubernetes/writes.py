"""What each writing verb means: conflicts, subresources, graceful deletion, eviction, binding."""

from collections.abc import Mapping
from typing import Any

from deploy.sandbox.kubernetes import patches
from deploy.sandbox.kubernetes.admission import admit, check_quantities
from deploy.sandbox.kubernetes.budgets import Budgets
from deploy.sandbox.kubernetes.errors import bad_request, conflict, invalid, no_such_path, not_found
from deploy.sandbox.kubernetes.index import TERMINAL, Index
from deploy.sandbox.kubernetes.journal import Journal
from deploy.sandbox.kubernetes.kinds import NAMESPACE, NODE, POD, Kind, Object
from deploy.sandbox.kubernetes.paths import Target
from deploy.sandbox.kubernetes.selectors import ObjectTest
from deploy.sandbox.kubernetes.store import Store, key_of
from deploy.sandbox.kubernetes.timing import Timeline

_SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


class Writes:
    """Every write of every client passes here; controllers write to the store themselves."""

    def __init__(
        self, *, store: Store, index: Index, budgets: Budgets, journal: Journal, timeline: Timeline
    ) -> None:
        self._store = store
        self._index = index
        self._budgets = budgets
        self._journal = journal
        self._timeline = timeline

    def create(self, target: Target, body: Object, *, dry_run: bool = False) -> Object:
        """Store a new object."""
        kind = target.kind
        if body.get("kind", kind.kind) != kind.kind:
            msg = f"{body.get('kind')} in version {body.get('apiVersion')} cannot be handled as a {kind.kind}"
            raise bad_request(msg)
        named = (body.get("metadata") or {}).get("namespace")
        if kind.namespaced and named and target.namespace and named != target.namespace:
            msg = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(msg)
        namespace = target.namespace or named or "default"
        if kind.namespaced and self._store.find(NAMESPACE, "", namespace) is None:
            raise not_found(NAMESPACE, namespace)
        obj = admit(kind, body, namespace=namespace if kind.namespaced else "")
        return obj if dry_run else self._store.create(kind, obj)

    def update(self, target: Target, body: Object, *, dry_run: bool = False) -> Object:
        """Replace an object, its status or its scale."""
        old = self._store.get(target.kind, target.namespace, target.name)
        if (body.get("metadata") or {}).get("name", target.name) != target.name:
            msg = "the name of the object does not match the name on the URL"
            raise bad_request(msg)
        if target.subresource == "scale":
            return self._rescale(target, old, body, dry_run=dry_run)
        return self._replace(target, old, body, dry_run=dry_run)

    def patch(self, target: Target, patch: Any, content_type: str, *, dry_run: bool = False) -> Object:
        """Patch an object, its status or its scale."""
        old = self._store.get(target.kind, target.namespace, target.name)
        if target.subresource == "scale":
            scaled = patches.apply(self.scale(target.kind, old), patch, content_type)
            return self._rescale(target, old, scaled, dry_run=dry_run)
        return self._replace(target, old, patches.apply(old, patch, content_type), dry_run=dry_run)

    def delete(self, target: Target, options: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Delete an object; a running pod is given its grace period."""
        kind = target.kind
        obj = self._store.get(kind, target.namespace, target.name)
        self._check_preconditions(kind, obj, options)
        if dry_run:
            return obj
        if kind is POD:
            if not obj["metadata"].get("deletionTimestamp"):
                self._budgets.record_loss([obj], cause="pod deleted")
            return self.end_pod(obj, options.get("gracePeriodSeconds"))
        if kind is NODE:
            self._budgets.record_loss(
                list(self._index.by_node.get(target.name, {}).values()), cause="node deleted"
            )
        if options.get("propagationPolicy") == "Orphan" or options.get("orphanDependents") is True:
            self._orphan_children(obj)
        return self._store.remove(kind, target.namespace, target.name)

    def delete_collection(
        self, target: Target, wanted: ObjectTest | None, options: Mapping[str, Any], *, dry_run: bool
    ) -> Object:
        """Delete what a selector matches."""
        for obj in self._store.select(target.kind, target.namespace):
            if wanted is None or wanted(obj):
                one = Target(target.kind, *key_of(obj), "")
                self.delete(one, options, dry_run=dry_run)
        return {**_SUCCESS}

    def evict(self, target: Target, body: Object, *, dry_run: bool = False) -> Object:
        """Delete a pod if its budget allows it."""
        pod = self._store.get(POD, target.namespace, target.name)
        options = body.get("deleteOptions") or {}
        self._check_preconditions(POD, pod, options)
        self._budgets.check_eviction(pod)
        dry_run = dry_run or "All" in (options.get("dryRun") or ())
        if not dry_run and not pod["metadata"].get("deletionTimestamp"):
            self._journal.evictions += 1
            self._budgets.record_loss([pod], cause="pod evicted")
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
                "lastTransitionTime": self._timeline.stamp(),
            }
            conditions = [*(pod["status"].get("conditions") or ()), condition]
            pod = self._store.set_status(POD, pod, conditions=conditions)
            self.end_pod(pod, options.get("gracePeriodSeconds"))
        return {**_SUCCESS, "code": 201}

    def bind(self, target: Target, body: Object) -> Object:
        """Place a pod on a node, as a scheduler does."""
        pod = self._store.get(POD, target.namespace, target.name)
        node = (body.get("target") or {}).get("name", "")
        if not node:
            raise invalid(POD, target.name, "target.name: Required value")
        if pod["spec"].get("nodeName"):
            raise conflict(POD, target.name, f"pod {target.name} is already assigned to node")
        self.place(pod, node)
        return {**_SUCCESS, "code": 201}

    def place(self, pod: Object, node: str) -> Object:
        """Write a pod's node and its PodScheduled condition."""
        condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self._timeline.stamp()}
        others = [c for c in pod["status"].get("conditions") or () if c["type"] != "PodScheduled"]
        return self._store.replace(
            POD,
            {
                **pod,
                "spec": {**pod["spec"], "nodeName": node},
                "status": {**pod["status"], "conditions": [*others, condition]},
            },
        )

    def end_pod(self, pod: Object, grace_seconds: int | None = None) -> Object:
        """Mark a running pod for its kubelet to stop, or remove one that runs nowhere."""
        namespace, name = key_of(pod)
        grace = (
            pod["spec"].get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds
        )
        node = pod["spec"].get("nodeName")
        runs = node and pod["status"].get("phase") not in TERMINAL and self._store.find(NODE, "", node)
        if not runs or grace <= 0:
            return self._store.remove(POD, namespace, name)
        if pod["metadata"].get("deletionTimestamp"):
            return pod
        metadata = {
            **pod["metadata"],
            "deletionTimestamp": self._timeline.stamp(),
            "deletionGracePeriodSeconds": grace,
        }
        return self._store.replace(POD, {**pod, "metadata": metadata})

    @staticmethod
    def scale(kind: Kind, obj: Object) -> Object:
        """Return an object's Scale."""
        if not kind.has_scale:
            raise no_such_path()
        labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
        metadata = obj["metadata"]
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {field: metadata[field] for field in kept if field in metadata},
            "spec": {"replicas": obj["spec"].get("replicas", 1)},
            "status": {
                "replicas": (obj.get("status") or {}).get("replicas", 0),
                "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
            },
        }

    def _rescale(self, target: Target, old: Object, scale: Object, *, dry_run: bool) -> Object:
        self.scale(target.kind, old)
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            raise invalid(target.kind, target.name, "spec.replicas: must be greater than or equal to 0")
        expected = (scale.get("metadata") or {}).get("resourceVersion")
        new = {**old, "spec": {**old["spec"], "replicas": replicas}}
        if not dry_run:
            new = self._store.replace(target.kind, new, expected=expected)
        return self.scale(target.kind, new)

    def _replace(self, target: Target, old: Object, new: Object, *, dry_run: bool) -> Object:
        kind = target.kind
        metadata = {**(new.get("metadata") or {}), "name": target.name}
        if kind.namespaced:
            metadata["namespace"] = target.namespace
        expected = metadata.get("resourceVersion")
        if target.subresource == "status":
            if not kind.has_status:
                raise no_such_path()
            result = {**old, "status": new.get("status") or {}}
            result["metadata"] = {**old["metadata"], "resourceVersion": expected}
        else:
            result = {**new, "metadata": metadata}
            if kind.has_status:
                result["status"] = old.get("status") or {}
            if kind is POD:
                self._check_pod_update(target.name, old, result)
        if dry_run:
            return result
        return self._store.replace(kind, result, expected=expected)

    @staticmethod
    def _check_pod_update(name: str, old: Object, new: Object) -> None:
        check_quantities(new["spec"], name)
        if old["spec"].get("nodeName") != new["spec"].get("nodeName"):
            raise invalid(POD, name, "spec.nodeName: Forbidden: pod updates may not change it")

    @staticmethod
    def _check_preconditions(kind: Kind, obj: Object, options: Mapping[str, Any]) -> None:
        preconditions = options.get("preconditions") or {}
        for field, given in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            wanted = preconditions.get(field)
            actual = obj["metadata"][field]
            if wanted and wanted != actual:
                why = f"Precondition failed: {given} in precondition: {wanted}, {given} in object meta: {actual}"
                raise conflict(kind, obj["metadata"]["name"], why)

    def _orphan_children(self, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for kind, key in list(self._index.children.get(uid, ())):
            child = self._store.find(kind, *key)
            if child is not None:
                owners = [o for o in child["metadata"].get("ownerReferences") or () if o["uid"] != uid]
                metadata = {**child["metadata"], "ownerReferences": owners}
                self._store.replace(kind, {**child, "metadata": metadata})
