"""The gateway's unit of work on Postgres: whose rows it sees is set per transaction, and enforced by the database."""

from services.gateway.adapters.postgres_agents import PostgresAgentRepository
from services.gateway.adapters.postgres_clusters import (
    PostgresCloudAccountRepository,
    PostgresClusterRepository,
)
from services.gateway.adapters.postgres_people import (
    PostgresOrganizationRepository,
    PostgresSessionRepository,
    PostgresUserRepository,
)
from services.gateway.adapters.postgres_plans import PostgresPlanRepository
from services.gateway.ports import UnitOfWorkFactory
from shared.runtime.postgres import Database, Transaction


class PostgresUnitOfWork:
    """See ports.UnitOfWork."""

    def __init__(self, transaction: Transaction) -> None:
        connection = transaction.connection
        self._connection = connection
        self.outbox = transaction
        self.users = PostgresUserRepository(connection)
        self.organizations = PostgresOrganizationRepository(connection)
        self.sessions = PostgresSessionRepository(connection)
        self.accounts = PostgresCloudAccountRepository(connection)
        self.clusters = PostgresClusterRepository(connection)
        self.agents = PostgresAgentRepository(connection)
        self.plans = PostgresPlanRepository(connection)

    async def act_for(self, organization_id: str) -> None:
        """See the port."""
        await self._set("app.organization_id", organization_id)

    async def act_as_user(self, user_id: str) -> None:
        """See the port."""
        await self._set("app.user_id", user_id)

    async def act_in_session(self, session_id: str) -> str | None:
        """See the port."""
        await self._set("app.session_id", session_id)
        return await self._enter("select organization_id from sessions where session_id = $1", session_id)

    async def act_for_cluster(self, cluster_id: str) -> str | None:
        """See the port."""
        await self._set("app.cluster_id", cluster_id)
        return await self._enter("select organization_id from clusters where cluster_id = $1", cluster_id)

    async def _enter(self, query: str, key: str) -> str | None:
        organization_id: str | None = await self._connection.fetchval(query, key)
        if organization_id is not None:
            await self.act_for(organization_id)
        return organization_id

    async def _set(self, name: str, value: str) -> None:
        await self._connection.execute("select set_config($1, $2, true)", name, value)


def factory(database: Database) -> UnitOfWorkFactory:
    """Give what opens units of work on this database."""
    return database.units(PostgresUnitOfWork)
