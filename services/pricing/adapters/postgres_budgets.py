"""Budgets of requests in pricing's own schema, so that all replicas use one."""

from services.pricing.adapters.aws_requests import R, Step
from services.pricing.domain.request_budget import RequestBudget
from shared.runtime.postgres import Database

COLUMNS = ("rate", "tokens", "as_of", "halved_at")


class PostgresBudgets:
    """See aws_requests.Budgets. The database's clock decides: replicas need not agree on the time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def change(self, account: str, region: str, step: Step[R]) -> R:
        """See aws_requests.Budgets."""
        async with self._database.transaction() as transaction:
            # Written to be locked; the time is that after whoever had the row before let go of it.
            row = await transaction.connection.fetchrow(
                """
                insert into request_budgets as held (account, region) values ($1, $2)
                on conflict (account, region) do update set account = held.account
                returning rate, tokens, as_of, halved_at, clock_timestamp() as now
                """,
                account,
                region,
            )
            assert row is not None, "the row is there, or was made"
            held = None
            if row["as_of"] is not None:
                held = RequestBudget(**{name: row[name] for name in COLUMNS})
            left, result = step(held, row["now"])
            await transaction.connection.execute(
                """
                update request_budgets
                set rate = $3, tokens = $4, as_of = $5, halved_at = $6
                where account = $1 and region = $2
                """,
                account,
                region,
                *(getattr(left, name) for name in COLUMNS),
            )
        return result
