"""What the HTTP handlers are given by the composition root."""

from dataclasses import dataclass

from aiohttp import web

from services.gateway.handlers.ask_others import Inquiry
from services.gateway.ports import (
    AccessTokens,
    CloudAccess,
    Passwords,
    SafeModeSwitch,
    SecretSource,
    UnitOfWorkFactory,
    Vault,
)
from services.gateway.settings import GatewaySettings
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Ports and settings."""

    settings: GatewaySettings
    unit_of_work: UnitOfWorkFactory
    inquiry: Inquiry
    passwords: Passwords
    access_tokens: AccessTokens
    secret_source: SecretSource
    vault: Vault
    cloud: CloudAccess
    safe_mode: SafeModeSwitch
    clock: Clock
    ids: Ids


DEPENDENCIES = web.AppKey("dependencies", Dependencies)


def dependencies_of(request: web.Request) -> Dependencies:
    """Give what the request's application was made with."""
    return request.app[DEPENDENCIES]
