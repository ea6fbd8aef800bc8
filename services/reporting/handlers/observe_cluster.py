"""Keep a copy of a cluster, and since when its nodes and pods are there."""

from collections.abc import Mapping
from datetime import datetime

from services.reporting.domain import presence
from services.reporting.domain.presence import PodFacts
from services.reporting.errors import UnknownClusterError
from services.reporting.ports import UnitOfWork
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.kernel.clock import Clock
from shared.kernel.workload import Node, ObjectKind


async def observe_snapshot(message: SnapshotChunkPublished, *, uow: UnitOfWork, clock: Clock) -> None:
    """Store a chunk; the last one of a snapshot tells what is there and what is gone."""
    await _enter(message.scope, uow=uow)
    last_seen_at = await _known_until(message.scope, uow=uow, clock=clock)
    if await uow.clusters.add_chunk(message):
        await _see_everything(message.scope, last_seen_at=last_seen_at, uow=uow, clock=clock)


async def observe_delta(message: ClusterChanged, *, uow: UnitOfWork, clock: Clock) -> None:
    """Apply a delta, and write down only what it names, unless earlier ones were waiting for it."""
    await _enter(message.scope, uow=uow)
    last_seen_at = await _known_until(message.scope, uow=uow, clock=clock)
    applied = await uow.clusters.apply(message)
    if applied.took_others:
        await _see_everything(message.scope, last_seen_at=last_seen_at, uow=uow, clock=clock)
    elif applied.is_applied:
        # An agent's clock may be set back or run ahead: who was there when goes forward, and not beyond now.
        at = min(max(message.occurred_at, last_seen_at or message.occurred_at), clock.now())
        gone_nodes = {ref.key: None for ref in message.deletes if ref.kind is ObjectKind.NODE}
        gone_pods = {ref.key: None for ref in message.deletes if ref.kind is ObjectKind.POD}
        nodes: dict[str, Node | None] = {**gone_nodes, **{node.name: node for node in message.upserts.nodes}}
        pods = {**gone_pods, **{pod.key: presence.pod_facts(pod) for pod in message.upserts.pods}}
        await _write_nodes(
            message.scope,
            held=await uow.presence.open_nodes(message.scope, nodes.keys()),
            seen=nodes,
            at=at,
            last_seen_at=last_seen_at,
            uow=uow,
        )
        await _write_pods(
            message.scope,
            held=await uow.presence.open_pods(message.scope, pods.keys()),
            seen=pods,
            at=at,
            uow=uow,
        )


async def note_heartbeat(message: HeartbeatSent, *, uow: UnitOfWork) -> None:
    """Let slices close on a cluster in which nothing happens."""
    await uow.clusters.note_heartbeat(message)


async def _enter(cluster_id: str, *, uow: UnitOfWork) -> None:
    cluster = await uow.clusters.cluster(cluster_id)
    if cluster is None:
        raise UnknownClusterError(f"cluster {cluster_id} is not registered yet")
    await uow.act_for(cluster.organization_id)


async def _known_until(cluster_id: str, *, uow: UnitOfWork, clock: Clock) -> datetime | None:
    """Give until when a copy is right; an agent whose clock runs ahead knows no more than now."""
    as_of = await uow.clusters.as_of(cluster_id)
    return None if as_of is None else min(as_of, clock.now())


async def _see_everything(
    cluster_id: str, *, last_seen_at: datetime | None, uow: UnitOfWork, clock: Clock
) -> None:
    """Compare the whole copy with what is written down."""
    at = await _known_until(cluster_id, uow=uow, clock=clock)
    if at is None:
        return
    objects = await uow.clusters.objects(cluster_id)
    held_nodes = await uow.presence.open_nodes(cluster_id)
    held_pods = await uow.presence.open_pods(cluster_id)
    nodes: dict[str, Node | None] = dict.fromkeys(held_nodes)
    nodes.update({node.name: node for node in objects.nodes})
    pods: dict[str, PodFacts | None] = dict.fromkeys(held_pods)
    pods.update({pod.key: presence.pod_facts(pod) for pod in objects.pods})
    await _write_nodes(cluster_id, held=held_nodes, seen=nodes, at=at, last_seen_at=last_seen_at, uow=uow)
    await _write_pods(cluster_id, held=held_pods, seen=pods, at=at, uow=uow)
    await uow.ledger.begin(cluster_id, at=at)


async def _write_nodes(
    cluster_id: str,
    *,
    held: Mapping[str, presence.NodeFacts],
    seen: Mapping[str, Node | None],
    at: datetime,
    last_seen_at: datetime | None,
    uow: UnitOfWork,
) -> None:
    facts = {name: None if node is None else presence.node_facts(node) for name, node in seen.items()}
    changed = presence.changes(held, facts)
    begun: dict[str, tuple[presence.NodeFacts, datetime]] = {}
    for name, new in changed.begun.items():
        node = seen[name]
        since = at
        if node is not None and name not in held:
            since = presence.begins_at(node.created_at, seen_at=at, last_seen_at=last_seen_at)
        begun[name] = (new, since)
    await uow.presence.end_nodes(cluster_id, changed.ended, at=at)
    await uow.presence.begin_nodes(cluster_id, begun)


async def _write_pods(
    cluster_id: str,
    *,
    held: Mapping[str, PodFacts],
    seen: Mapping[str, PodFacts | None],
    at: datetime,
    uow: UnitOfWork,
) -> None:
    changed = presence.changes(held, seen)
    await uow.presence.end_pods(cluster_id, changed.ended, at=at)
    await uow.presence.begin_pods(cluster_id, changed.begun, at=at)
