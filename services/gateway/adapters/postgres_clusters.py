"""Cloud accounts and clusters in the gateway's schema."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.gateway.domain.cloud_accounts import CloudAccount
from services.gateway.errors import ConflictError
from services.gateway.ports import Cluster, Configuration
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.runtime.postgres import Connection


class PostgresCloudAccountRepository:
    """See ports.CloudAccountRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, account: CloudAccount) -> None:
        """See the port."""
        try:
            await self._connection.execute(
                "insert into cloud_accounts (account_id, organization_id, name, account_number, role_arn,"
                " sealed_external_id, region, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)",
                account.id,
                account.organization_id,
                account.name,
                account.account_number,
                account.role_arn,
                account.sealed_external_id,
                account.region,
                account.created_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise ConflictError(f"There is a cloud account named {account.name} already.") from error

    async def get(self, account_id: str) -> CloudAccount | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from cloud_accounts where account_id = $1", account_id
        )
        return None if row is None else _account(row)

    async def list(self) -> Sequence[CloudAccount]:
        """See the port."""
        return [
            _account(row)
            for row in await self._connection.fetch("select * from cloud_accounts order by name")
        ]


class PostgresClusterRepository:
    """See ports.ClusterRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, cluster: Cluster) -> None:
        """See the port."""
        try:
            await self._connection.execute(
                "insert into clusters (cluster_id, organization_id, account_id, name, created_at, revision,"
                " policy, node_template) values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb)",
                cluster.id,
                cluster.organization_id,
                cluster.account_id,
                cluster.name,
                cluster.created_at,
                cluster.configuration.revision,
                cluster.configuration.policy.model_dump_json(),
                cluster.configuration.node_template.model_dump_json(),
            )
        except asyncpg.UniqueViolationError as error:
            raise ConflictError(f"There is a cluster named {cluster.name} already.") from error

    async def get(self, cluster_id: str) -> Cluster | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from clusters where cluster_id = $1", cluster_id)
        return None if row is None else _cluster(row)

    async def locked(self, cluster_id: str) -> Cluster | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from clusters where cluster_id = $1 for update", cluster_id
        )
        return None if row is None else _cluster(row)

    async def list(self) -> Sequence[Cluster]:
        """See the port."""
        return [_cluster(row) for row in await self._connection.fetch("select * from clusters order by name")]

    async def configure(self, cluster_id: str, configuration: Configuration) -> None:
        """See the port."""
        await self._connection.execute(
            "update clusters set revision = $2, policy = $3::jsonb, node_template = $4::jsonb"
            " where cluster_id = $1",
            cluster_id,
            configuration.revision,
            configuration.policy.model_dump_json(),
            configuration.node_template.model_dump_json(),
        )

    async def note_heartbeat(
        self, cluster_id: str, *, at: datetime, agent_version: str, kubernetes_version: str | None
    ) -> None:
        """See the port."""
        await self._connection.execute(
            "update clusters set last_heartbeat_at = $2, agent_version = $3, kubernetes_version = $4"
            " where cluster_id = $1 and (last_heartbeat_at is null or last_heartbeat_at < $2)",
            cluster_id,
            at,
            agent_version,
            kubernetes_version,
        )


def _account(row: asyncpg.Record) -> CloudAccount:
    return CloudAccount(
        id=row["account_id"],
        organization_id=row["organization_id"],
        name=row["name"],
        account_number=row["account_number"],
        role_arn=row["role_arn"],
        sealed_external_id=row["sealed_external_id"],
        region=row["region"],
        created_at=row["created_at"],
    )


def _cluster(row: asyncpg.Record) -> Cluster:
    return Cluster(
        id=row["cluster_id"],
        organization_id=row["organization_id"],
        account_id=row["account_id"],
        name=row["name"],
        created_at=row["created_at"],
        configuration=Configuration(
            revision=row["revision"],
            policy=Policy.model_validate_json(row["policy"]),
            node_template=NodeTemplate.model_validate_json(row["node_template"]),
        ),
        last_heartbeat_at=row["last_heartbeat_at"],
        agent_version=row["agent_version"],
        kubernetes_version=row["kubernetes_version"],
    )
