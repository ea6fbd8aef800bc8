"""Volumes tie a pod to a zone: claims are provisioned where their first pod lands, and keep later pods there."""

from collections.abc import Callable

from deploy.sandbox.kubernetes.asked import Asked, node_test
from deploy.sandbox.kubernetes.kinds import CLAIM, VOLUME, Object
from deploy.sandbox.kubernetes.store import Store

ZONE = "topology.kubernetes.io/zone"


class Volumes:
    """Binds claims as the EBS CSI driver does with WaitForFirstConsumer."""

    def __init__(self, *, store: Store) -> None:
        self._store = store

    def node_test(self, asked: Asked) -> Callable[[Object], bool]:
        """Return whether a node can reach every volume that a pod already has."""
        tests = []
        for name in asked.claims:
            claim = self._store.find(CLAIM, asked.key[0], name)
            if claim is None:
                return lambda _node: False
            volume = self._store.find(VOLUME, "", (claim.get("spec") or {}).get("volumeName") or "")
            required = ((volume or {}).get("spec", {}).get("nodeAffinity") or {}).get("required")
            if required:
                tests.append(node_test(required, {}))
        return lambda node: all(test(node["metadata"].get("labels") or {}) for test in tests)

    def bind(self, asked: Asked, node: Object) -> None:
        """Provision every claim that has no volume yet, in the zone of a pod's node."""
        zone = (node["metadata"].get("labels") or {}).get(ZONE, "")
        for name in asked.claims:
            claim = self._store.get(CLAIM, asked.key[0], name)
            spec = claim.get("spec") or {}
            if spec.get("volumeName"):
                continue
            capacity = (spec.get("resources") or {}).get("requests") or {"storage": "1Gi"}
            volume = f"pvc-{claim['metadata']['uid']}"
            term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
            self._store.create(
                VOLUME,
                {
                    "metadata": {"name": volume},
                    "spec": {
                        "capacity": capacity,
                        "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
                        "storageClassName": spec.get("storageClassName", "gp3"),
                        "persistentVolumeReclaimPolicy": "Delete",
                        "csi": {
                            "driver": "ebs.csi.aws.com",
                            "volumeHandle": f"vol-{claim['metadata']['uid'][:8]}",
                        },
                        "claimRef": {
                            "kind": "PersistentVolumeClaim",
                            "namespace": asked.key[0],
                            "name": name,
                        },
                        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
                    },
                    "status": {"phase": "Bound"},
                },
            )
            bound = {**claim, "spec": {**spec, "volumeName": volume}}
            bound["status"] = {"phase": "Bound", "capacity": capacity}
            self._store.replace(CLAIM, bound)
