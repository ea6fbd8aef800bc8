"""Install tokens and agents' credentials in the gateway's schema: digests only."""

from collections.abc import Sequence
from datetime import datetime

from services.gateway.domain.tokens import AgentCredential, InstallToken
from shared.runtime.postgres import Connection


class PostgresAgentRepository:
    """See ports.AgentRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add_install_token(self, cluster_id: str, token: InstallToken) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into install_tokens (token_id, organization_id, cluster_id, secret_sha256, created_at)"
            " values ($1, acting_organization(), $2, $3, $4)",
            token.id,
            cluster_id,
            token.secret_sha256,
            token.created_at,
        )

    async def install_tokens(self, cluster_id: str) -> Sequence[InstallToken]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from install_tokens where cluster_id = $1 and ended_at is null", cluster_id
        )
        return [
            InstallToken(
                id=row["token_id"],
                secret_sha256=row["secret_sha256"],
                created_at=row["created_at"],
                first_used_at=row["first_used_at"],
            )
            for row in rows
        ]

    async def note_use(self, token_id: str, *, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update install_tokens set first_used_at = coalesce(first_used_at, $2) where token_id = $1",
            token_id,
            now,
        )

    async def end_install_tokens(self, cluster_id: str, *, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update install_tokens set ended_at = $2 where cluster_id = $1 and ended_at is null",
            cluster_id,
            now,
        )

    async def add_credential(self, cluster_id: str, credential: AgentCredential, *, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into agent_credentials"
            " (credential_id, organization_id, cluster_id, secret_sha256, created_at)"
            " values ($1, acting_organization(), $2, $3, $4)",
            credential.id,
            cluster_id,
            credential.secret_sha256,
            now,
        )

    async def credentials(self, cluster_id: str) -> Sequence[AgentCredential]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from agent_credentials where cluster_id = $1 and ended_at is null", cluster_id
        )
        return [AgentCredential(id=row["credential_id"], secret_sha256=row["secret_sha256"]) for row in rows]

    async def end_credentials(self, cluster_id: str, *, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update agent_credentials set ended_at = $2 where cluster_id = $1 and ended_at is null",
            cluster_id,
            now,
        )
