"""Whether anything has changed since a plan was carried out.

A planner that starts from another fleet may find another one that is a little cheaper, although nothing has changed
since it was last asked: to follow that would move pods for the search's sake. So a plan keeps a digest of what it was
made from, without the nodes and without the names of pods, which it changes itself.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from services.optimizer.domain.offers import Offer
from shared.kernel.scheduling.shapes import PER_POD_LABELS
from shared.kernel.workload import Node, Pod


def digest(pods: Iterable[Pod], offers: Iterable[Offer], *, policy_revision: int) -> str:
    """Give a SHA-256 of what pods ask for, of prices and flags, and of the policy's revision.

    Probabilities of interruption are left out: every hour that a node lives moves them a little.
    """
    asked = Counter(
        _asked(p) for p in pods if not (p.is_daemon or p.is_mirror or p.is_finished or p.is_terminating)
    )
    prices = sorted((str(o.pool), o.micro_usd, o.flagged) for o in offers)
    text = json.dumps([sorted(asked.items()), prices, policy_revision], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def is_fleet_of(nodes: Iterable[Node], *, expected: int, since: datetime) -> bool:
    """Whether the nodes are as many as a plan expected and none came after it was carried out."""
    nodes = tuple(nodes)
    return len(nodes) == expected and all(n.created_at is not None and n.created_at <= since for n in nodes)


def _asked(pod: Pod) -> str:
    # A changed constraint comes with new pods of another template hash, which is among the labels.
    r = pod.requests
    owner = None if pod.owner is None else (pod.owner.kind, pod.owner.name)
    labels = sorted((k, v) for k, v in pod.labels.items() if k not in PER_POD_LABELS)
    amounts = (r.cpu_millicores, r.memory_bytes, r.ephemeral_storage_bytes, sorted(r.extended.items()))
    own = pod.name if owner is None else ""
    return json.dumps([pod.namespace, owner, own, labels, amounts, pod.priority, sorted(pod.claims)])
