"""/cloud-accounts."""

from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, SecretStr

from services.gateway.domain.access import Caller, Permission
from services.gateway.domain.cloud_accounts import CloudAccount
from services.gateway.entrypoints.http.dependencies import dependencies_of
from services.gateway.entrypoints.http.guard import guarded
from services.gateway.entrypoints.http.requests import body_of, key_in_path
from services.gateway.handlers.connect_account import connect_account
from services.gateway.handlers.list_accounts import list_accounts
from services.gateway.handlers.try_account import try_account


class AccountBody(BaseModel):
    """POST /cloud-accounts."""

    name: str = Field(min_length=1, max_length=100, pattern=r"\S")
    account_number: str = Field(pattern=r"^[0-9]{12}$", examples=["111122223333"])
    role_arn: str = Field(max_length=600)
    external_id: SecretStr | None = Field(default=None, min_length=2, max_length=1224)
    region: str = Field(max_length=32)


async def post_account(request: web.Request, caller: Caller) -> web.Response:
    """Connect an AWS account."""
    body = await body_of(request, AccountBody)
    deps = dependencies_of(request)
    connected = await connect_account(
        caller=caller,
        name=body.name.strip(),
        account_number=body.account_number,
        role_arn=body.role_arn,
        external_id=body.external_id.get_secret_value() if body.external_id else None,
        region=body.region,
        unit_of_work=deps.unit_of_work,
        vault=deps.vault,
        cloud=deps.cloud,
        secret_source=deps.secret_source,
        clock=deps.clock,
        ids=deps.ids,
    )
    # The role's trust policy must name it, so whoever connects an account has to see it.
    content = {**_account(connected.account), "external_id": connected.external_id}
    return web.json_response(content, status=201, headers={"Cache-Control": "no-store"})


async def get_accounts(request: web.Request, caller: Caller) -> web.Response:
    """List AWS accounts."""
    found = await list_accounts(caller=caller, unit_of_work=dependencies_of(request).unit_of_work)
    return web.json_response({"cloud_accounts": [_account(account) for account in found]})


async def post_test(request: web.Request, caller: Caller) -> web.Response:
    """Try to assume an account's role."""
    deps = dependencies_of(request)
    trial = await try_account(
        caller=caller,
        account_id=key_in_path(request, "account_id"),
        unit_of_work=deps.unit_of_work,
        vault=deps.vault,
        cloud=deps.cloud,
    )
    return web.json_response({"ok": trial.is_ok, "detail": trial.detail})


def routes() -> list[web.RouteDef]:
    """Give this module's routes."""
    return [
        guarded("POST", "/cloud-accounts", post_account, Permission.CONNECT),
        guarded("GET", "/cloud-accounts", get_accounts, Permission.READ),
        guarded("POST", "/cloud-accounts/{account_id}/test", post_test, Permission.CONNECT),
    ]


def _account(account: CloudAccount) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "account_number": account.account_number,
        "role_arn": account.role_arn,
        "region": account.region,
        "created_at": account.created_at.isoformat(),
    }
