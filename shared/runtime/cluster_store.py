"""A service's own copy of what agents publish about their clusters.

Any replica may take any message: the row lock on a cluster's mark orders them, `judge` says which to apply. A snapshot
takes effect when all its chunks are stored. Deltas that came early wait in a table; after a few seconds, or when
nothing confirms the copy any more, the service asks the agent for a snapshot (`gaps`), at most once a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import zstandard
from pydantic import TypeAdapter

from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.kernel.cluster_state import Position, Verdict, judge
from shared.kernel.errors import PermanentError
from shared.kernel.workload import (
    ClusterObjects,
    DisruptionBudget,
    Namespace,
    Node,
    ObjectKind,
    ObjectRef,
    Pod,
    Volume,
    Workload,
)
from shared.runtime import payloads
from shared.runtime.postgres import Connection

LARGEST_CHUNK_BYTES = 64 * 1024**2
EARLY_DELTAS_WAIT = timedelta(seconds=5)
UNCONFIRMED_WAIT = timedelta(minutes=1)
RESYNC_AT_MOST_EVERY = timedelta(minutes=1)

_ADAPTERS: Mapping[ObjectKind, TypeAdapter[Any]] = {
    ObjectKind.NODE: TypeAdapter(Node),
    ObjectKind.POD: TypeAdapter(Pod),
    ObjectKind.WORKLOAD: TypeAdapter(Workload),
    ObjectKind.BUDGET: TypeAdapter(DisruptionBudget),
    ObjectKind.VOLUME: TypeAdapter(Volume),
    ObjectKind.NAMESPACE: TypeAdapter(Namespace),
}
_OBJECTS = TypeAdapter(ClusterObjects)
_FIELDS: Mapping[ObjectKind, str] = {
    ObjectKind.NODE: "nodes",
    ObjectKind.POD: "pods",
    ObjectKind.WORKLOAD: "workloads",
    ObjectKind.BUDGET: "budgets",
    ObjectKind.VOLUME: "volumes",
    ObjectKind.NAMESPACE: "namespaces",
}


class MalformedChunkError(PermanentError):
    """A snapshot chunk is not what an agent sends."""


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """What the gateway told us about a cluster."""

    cluster_id: str
    organization_id: str
    name: str
    account: CloudAccountRef


@dataclass(frozen=True, slots=True)
class ClusterCopy:
    """The copy at a position."""

    objects: ClusterObjects
    position: Position
    as_of: datetime


def key_of(kind: ObjectKind, value: Any) -> str:
    """Give the key of an object, as ObjectRef has it."""
    key: str = value.name if kind in (ObjectKind.NODE, ObjectKind.NAMESPACE) else value.key
    return key


def encode_chunk(objects: ClusterObjects) -> bytes:
    """Give the body of a snapshot chunk: zstd of JSON."""
    return zstandard.ZstdCompressor(level=3).compress(_OBJECTS.dump_json(objects))


def decode_chunk(body: bytes) -> ClusterObjects:
    """Undo `encode_chunk`.

    Raises:
        MalformedChunkError: it is no such body.
    """
    try:
        return _OBJECTS.validate_json(payloads.inflate(body, at_most=LARGEST_CHUNK_BYTES))
    except ValueError as error:
        raise MalformedChunkError(f"a snapshot chunk is malformed: {str(error)[:200]}") from error


class DecodedCopy:
    """One cluster's copy, kept decoded from look to look: only rows that were written since are read again.

    A row's version is its xmin, the transaction that wrote it. It is one statement, so that what is seen is a state
    the copy really was in.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[int, Any]] = {}
        self._copy: ClusterCopy | None = None

    async def look(self, connection: Connection, cluster_id: str) -> ClusterCopy | None:
        """Return the copy as it is now; None before its first snapshot."""
        mark = await connection.fetchrow(
            "select epoch, sequence, as_of from cluster_marks where cluster_id = $1", cluster_id
        )
        if mark is None or mark["as_of"] is None:
            return None
        position = Position(mark["epoch"], mark["sequence"])
        if self._copy is None or self._copy.position != position:
            # Objects are read after the mark: they are at least as new as `position`, never older.
            objects = await self._objects(connection, cluster_id)
            self._copy = ClusterCopy(objects, position, mark["as_of"])
        return replace(self._copy, as_of=mark["as_of"])

    async def _objects(self, connection: Connection, cluster_id: str) -> ClusterObjects:
        rows = await connection.fetch(
            """
            select kind, key, version, body
            from (
                select kind, key, xmin::text as version, body from cluster_objects where cluster_id = $1
            ) as there
            full join unnest($2::text[], $3::text[], $4::text[]) as held (kind, key, version)
                using (kind, key, version)
            where there.version is null or held.version is null
            """,
            cluster_id,
            [kind for kind, _ in self._held],
            [key for _, key in self._held],
            [version for version, _ in self._held.values()],
        )
        for row in rows:
            if row["body"] is None:
                del self._held[row["kind"], row["key"]]
        for row in rows:
            if row["body"] is not None:
                value = _ADAPTERS[ObjectKind(row["kind"])].validate_json(row["body"])
                self._held[row["kind"], row["key"]] = row["version"], value
        found: dict[str, list[Any]] = {kind.value: [] for kind in ObjectKind}
        for kind, key in sorted(self._held):
            found[kind].append(self._held[kind, key][1])
        return ClusterObjects(**{_FIELDS[ObjectKind(kind)]: tuple(values) for kind, values in found.items()})


class ClusterStore:
    """The tables of shared/runtime/sql/cluster.sql, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def register(self, event: ClusterRegistered) -> None:
        """Keep to whom a cluster belongs: only the gateway's word counts."""
        account = event.cloud_account
        await self._connection.execute(
            """
            insert into clusters (cluster_id, organization_id, name, account_id, account_number, region)
            values ($1, $2, $3, $4, $5, $6)
            on conflict (cluster_id) do update set organization_id = excluded.organization_id,
                name = excluded.name, account_id = excluded.account_id,
                account_number = excluded.account_number, region = excluded.region
            """,
            event.scope,
            event.organization_id,
            event.name,
            account.id,
            account.account_number,
            account.region,
        )

    async def cluster(self, cluster_id: str) -> ClusterRecord | None:
        """Return a registered cluster."""
        row = await self._connection.fetchrow("select * from clusters where cluster_id = $1", cluster_id)
        return None if row is None else _record(row)

    async def clusters(self) -> list[ClusterRecord]:
        """Return every registered cluster."""
        rows = await self._connection.fetch("select * from clusters order by cluster_id")
        return [_record(row) for row in rows]

    async def add_chunk(self, event: SnapshotChunkPublished) -> bool:
        """Store a chunk; return True when its snapshot is complete and has taken effect."""
        decode_chunk(event.body)
        held = await self._lock(event.scope)
        position = Position(event.epoch, event.sequence)
        if position < held:
            return False
        await self._connection.execute(
            "insert into snapshot_chunks as held values ($1, $2, $3, $4, $5, $6, $7)"
            " on conflict (cluster_id, epoch, sequence, index) do update"
            " set count = excluded.count, as_of = excluded.as_of, body = excluded.body"
            " where excluded.as_of > held.as_of",
            event.scope,
            event.epoch,
            event.sequence,
            event.index,
            event.count,
            event.as_of,
            event.body,
        )
        # Two snapshots may be taken at one position, and be cut differently: parts of both make neither.
        rows = await self._connection.fetch(
            "select body from snapshot_chunks"
            " where cluster_id = $1 and epoch = $2 and sequence = $3 and count = $4 and as_of = $5",
            event.scope,
            event.epoch,
            event.sequence,
            event.count,
            event.as_of,
        )
        if len(rows) < event.count:
            return False
        await self._connection.execute("delete from cluster_objects where cluster_id = $1", event.scope)
        for row in rows:
            await self._upsert(event.scope, decode_chunk(row["body"]))
        await self._connection.execute(
            "delete from snapshot_chunks where cluster_id = $1 and (epoch, sequence) <= ($2, $3)",
            event.scope,
            event.epoch,
            event.sequence,
        )
        await self._advance(event.scope, position, as_of=event.as_of)
        return True

    async def apply(self, event: ClusterChanged) -> Verdict:
        """Apply a delta, or keep it for later; say which."""
        held = await self._lock(event.scope)
        position = Position(event.epoch, event.sequence)
        verdict = judge(position, held=held)
        match verdict:
            case Verdict.APPLY:
                await self._change(event.scope, event.upserts, event.deletes)
                await self._advance(event.scope, position, as_of=event.occurred_at)
            case Verdict.WAIT:
                await self._connection.execute(
                    "insert into early_deltas (cluster_id, epoch, sequence, occurred_at, body)"
                    " values ($1, $2, $3, $4, $5) on conflict do nothing",
                    event.scope,
                    event.epoch,
                    event.sequence,
                    event.occurred_at,
                    event.model_dump_json().encode(),
                )
            case Verdict.IGNORE:
                pass
        return verdict

    async def note_heartbeat(self, event: HeartbeatSent) -> bool:
        """Take an agent's word that nothing changed; return False when our copy is behind its position."""
        answer = await self._connection.execute(
            "update cluster_marks set as_of = greatest(as_of, $4)"
            " where cluster_id = $1 and epoch = $2 and sequence = $3",
            event.scope,
            event.epoch,
            event.sequence,
            event.occurred_at,
        )
        return bool(answer == "UPDATE 1")

    async def copy(self, cluster_id: str) -> ClusterCopy | None:
        """Return all we know about a cluster; None before its first snapshot."""
        return await DecodedCopy().look(self._connection, cluster_id)

    async def gaps(self, *, now: datetime) -> list[str]:
        """Name clusters to ask for a snapshot, and note that they are asked.

        Either early deltas waited too long, or nothing has confirmed the copy for a while: after the last delta of
        a quiet cluster was lost, only heartbeats come, and they name a position that the copy never reaches.
        """
        await self._connection.execute(
            "insert into cluster_marks (cluster_id) select cluster_id from clusters"
            " where cluster_id not in (select cluster_id from cluster_marks) on conflict do nothing"
        )
        rows = await self._connection.fetch(
            """
            update cluster_marks m set resync_asked_at = $1
            where (resync_asked_at is null or resync_asked_at < $2)
              and (as_of is null or as_of < $4 or exists (
                select 1 from early_deltas e where e.cluster_id = m.cluster_id and e.received_at < $3
              ))
            returning cluster_id
            """,
            now,
            now - RESYNC_AT_MOST_EVERY,
            now - EARLY_DELTAS_WAIT,
            now - UNCONFIRMED_WAIT,
        )
        return [row["cluster_id"] for row in rows]

    async def _lock(self, cluster_id: str) -> Position:
        await self._connection.execute(
            "insert into cluster_marks (cluster_id) values ($1) on conflict do nothing", cluster_id
        )
        row = await self._connection.fetchrow(
            "select epoch, sequence from cluster_marks where cluster_id = $1 for update", cluster_id
        )
        assert row is not None
        return Position(row["epoch"], row["sequence"])

    async def _advance(self, cluster_id: str, position: Position, *, as_of: datetime) -> None:
        """Move the mark, then apply every early delta that now follows without a gap."""
        waiting = await self._connection.fetch(
            "select sequence, occurred_at, body from early_deltas"
            " where cluster_id = $1 and epoch = $2 and sequence > $3 order by sequence",
            cluster_id,
            position.epoch,
            position.sequence,
        )
        for row in waiting:
            if row["sequence"] != position.sequence + 1:
                break
            event = ClusterChanged.model_validate_json(row["body"])
            await self._change(cluster_id, event.upserts, event.deletes)
            position = replace(position, sequence=row["sequence"])
            as_of = max(as_of, row["occurred_at"])
        await self._connection.execute(
            "delete from early_deltas where cluster_id = $1 and (epoch, sequence) <= ($2, $3)",
            cluster_id,
            position.epoch,
            position.sequence,
        )
        await self._connection.execute(
            "update cluster_marks set epoch = $2, sequence = $3, as_of = greatest(as_of, $4) where cluster_id = $1",
            cluster_id,
            position.epoch,
            position.sequence,
            as_of,
        )

    async def _change(self, cluster_id: str, upserts: ClusterObjects, deletes: tuple[ObjectRef, ...]) -> None:
        await self._upsert(cluster_id, upserts)
        if deletes:
            await self._connection.execute(
                "delete from cluster_objects o using unnest($2::text[], $3::text[]) as gone (kind, key)"
                " where o.cluster_id = $1 and o.kind = gone.kind and o.key = gone.key",
                cluster_id,
                [ref.kind.value for ref in deletes],
                [ref.key for ref in deletes],
            )

    async def _upsert(self, cluster_id: str, objects: ClusterObjects) -> None:
        kinds: list[str] = []
        keys: list[str] = []
        bodies: list[bytes] = []
        for kind, name in _FIELDS.items():
            for value in getattr(objects, name):
                kinds.append(kind.value)
                keys.append(key_of(kind, value))
                bodies.append(_ADAPTERS[kind].dump_json(value))
        if kinds:
            await self._connection.execute(
                "insert into cluster_objects (cluster_id, kind, key, body)"
                " select $1, * from unnest($2::text[], $3::text[], $4::bytea[])"
                " on conflict (cluster_id, kind, key) do update set body = excluded.body",
                cluster_id,
                kinds,
                keys,
                bodies,
            )


def _record(row: Any) -> ClusterRecord:
    account = CloudAccountRef(
        id=row["account_id"], account_number=row["account_number"], region=row["region"]
    )
    return ClusterRecord(row["cluster_id"], row["organization_id"], row["name"], account)
