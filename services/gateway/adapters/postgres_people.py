"""Users, organizations and sessions in the gateway's schema."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.gateway.domain.access import Role
from services.gateway.domain.people import Membership, Organization, Session, User
from services.gateway.errors import ConflictError
from shared.runtime.postgres import Connection


class PostgresUserRepository:
    """See ports.UserRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, user: User) -> None:
        """See the port."""
        try:
            await self._connection.execute(
                "insert into users (user_id, email, password_hash, created_at) values ($1, $2, $3, $4)",
                user.id,
                user.email,
                user.password_hash,
                user.created_at,
            )
        except asyncpg.UniqueViolationError as error:
            raise ConflictError("This address has an account already; log in.") from error

    async def get(self, user_id: str) -> User | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from users where user_id = $1", user_id)
        return None if row is None else _user(row)

    async def by_email(self, email: str) -> User | None:
        """See the port."""
        row = await self._connection.fetchrow("select * from users where email = $1", email)
        return None if row is None else _user(row)

    async def begin_attempt(self, email: str, *, now: datetime, since: datetime, limit: int) -> bool:
        """See the port."""
        # Attempts of one address queue up here, so that many at once cannot pass the limit together.
        await self._connection.execute("select pg_advisory_xact_lock(hashtext('log-in:' || $1))", email)
        await self._connection.execute("delete from log_in_attempts where attempted_at <= $1", since)
        made = await self._connection.fetchval("select count(*) from log_in_attempts where email = $1", email)
        if made >= limit:
            return False
        await self._connection.execute("insert into log_in_attempts values ($1, $2)", email, now)
        return True

    async def forget_attempts(self, email: str) -> None:
        """See the port."""
        await self._connection.execute("delete from log_in_attempts where email = $1", email)


class PostgresOrganizationRepository:
    """See ports.OrganizationRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, organization: Organization, owner: Membership) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into organizations (organization_id, name, created_at) values ($1, $2, $3)",
            organization.id,
            organization.name,
            organization.created_at,
        )
        await self._connection.execute(
            "insert into memberships (organization_id, user_id, role, created_at) values ($1, $2, $3, $4)",
            owner.organization_id,
            owner.user_id,
            owner.role.value,
            owner.created_at,
        )

    async def get(self, organization_id: str) -> Organization | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from organizations where organization_id = $1", organization_id
        )
        if row is None:
            return None
        return Organization(id=row["organization_id"], name=row["name"], created_at=row["created_at"])

    async def memberships(self, user_id: str) -> Sequence[Membership]:
        """See the port."""
        rows = await self._connection.fetch(
            "select * from memberships where user_id = $1 order by created_at, organization_id", user_id
        )
        return [
            Membership(
                organization_id=row["organization_id"],
                user_id=row["user_id"],
                role=Role(row["role"]),
                created_at=row["created_at"],
            )
            for row in rows
        ]


class PostgresSessionRepository:
    """See ports.SessionRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, session: Session, secret_sha256: bytes) -> None:
        """See the port."""
        await self._connection.execute(
            "insert into sessions (session_id, organization_id, user_id, created_at, expires_at)"
            " values ($1, $2, $3, $4, $5)",
            session.id,
            session.organization_id,
            session.user_id,
            session.created_at,
            session.expires_at,
        )
        await self._connection.execute(
            "insert into refresh_tokens (session_id, secret_sha256) values ($1, $2)",
            session.id,
            secret_sha256,
        )

    async def locked(self, session_id: str) -> Session | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select * from sessions where session_id = $1 for update", session_id
        )
        if row is None:
            return None
        return Session(
            id=row["session_id"],
            organization_id=row["organization_id"],
            user_id=row["user_id"],
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            ended_at=row["ended_at"],
        )

    async def is_used(self, session_id: str, secret_sha256: bytes) -> bool | None:
        """See the port."""
        row = await self._connection.fetchrow(
            "select used_at from refresh_tokens where session_id = $1 and secret_sha256 = $2",
            session_id,
            secret_sha256,
        )
        return None if row is None else row["used_at"] is not None

    async def rotate(self, session_id: str, *, used: bytes, fresh: bytes, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update refresh_tokens set used_at = $3 where session_id = $1 and secret_sha256 = $2",
            session_id,
            used,
            now,
        )
        await self._connection.execute(
            "insert into refresh_tokens (session_id, secret_sha256) values ($1, $2)", session_id, fresh
        )

    async def end(self, session_id: str, *, now: datetime) -> None:
        """See the port."""
        await self._connection.execute(
            "update sessions set ended_at = coalesce(ended_at, $2) where session_id = $1", session_id, now
        )


def _user(row: asyncpg.Record) -> User:
    return User(
        id=row["user_id"],
        email=row["email"],
        password_hash=row["password_hash"],
        created_at=row["created_at"],
    )
