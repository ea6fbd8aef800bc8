"""The gateway's composition root."""

from collections.abc import Awaitable, Callable
from functools import partial

import aioboto3
import structlog

from services.gateway.adapters.access_tokens import JwtAccessTokens, RandomSecrets
from services.gateway.adapters.nats_jwt import CalloutIssuer
from services.gateway.adapters.passwords import Argon2Passwords
from services.gateway.adapters.postgres import PostgresUnitOfWork, factory
from services.gateway.adapters.sts import StsCloudAccess
from services.gateway.adapters.vault import AesVault
from services.gateway.entrypoints import callout
from services.gateway.entrypoints.http.application import HttpServer, make_application
from services.gateway.entrypoints.http.dependencies import Dependencies
from services.gateway.entrypoints.subscribers import Door, subscribe
from services.gateway.errors import SettingsError
from services.gateway.handlers.admit_agent import admit_agent
from services.gateway.handlers.ask_others import Inquiry
from services.gateway.handlers.enroll_agent import enroll_agent
from services.gateway.handlers.lend_credentials import lend_credentials
from services.gateway.ports import BusGrant, UnitOfWorkFactory
from services.gateway.settings import GatewaySettings
from shared.runtime import service

log = structlog.get_logger(__name__)

SHORTEST_JWT_SECRET = 32


def wiring(settings: GatewaySettings) -> Callable[[service.Runtime], Awaitable[None]]:
    """Give the `wire` of a gateway with these settings."""

    async def wire(runtime: service.Runtime) -> None:
        await wire_with(settings, runtime)

    return wire


async def wire_with(settings: GatewaySettings, runtime: service.Runtime) -> None:
    """Join ports to adapters and begin to listen.

    Raises:
        SettingsError: a secret is missing or wrong.
    """
    jwt_secret = settings.jwt_secret.get_secret_value()
    if len(jwt_secret) < SHORTEST_JWT_SECRET:
        raise SettingsError(f"GATEWAY_JWT_SECRET must be set to at least {SHORTEST_JWT_SECRET} characters.")
    clock, ids, bus = runtime.clock, runtime.ids, runtime.bus
    unit_of_work = factory(runtime.database)
    vault = AesVault(
        settings.secrets_key.get_secret_value(),
        previous_key_hex=settings.secrets_key_previous.get_secret_value(),
    )
    secret_source, cloud = RandomSecrets(), StsCloudAccess(aioboto3.Session())
    subscribe(
        bus,
        unit_of_work_in=PostgresUnitOfWork,
        door=Door(
            enroll=partial(
                enroll_agent,
                unit_of_work=unit_of_work,
                others=bus,
                secret_source=secret_source,
                install_token_lifetime=settings.install_token_lifetime,
                install_token_reuse=settings.install_token_reuse,
                ask_timeout_seconds=settings.ask_timeout_seconds,
                clock=clock,
                ids=ids,
            ),
            lend=partial(lend_credentials, unit_of_work=unit_of_work, vault=vault, cloud=cloud),
        ),
        clock=clock,
        ids=ids,
    )
    await _open_agents_door(settings, runtime, unit_of_work)
    dependencies = Dependencies(
        settings=settings,
        unit_of_work=unit_of_work,
        inquiry=Inquiry(
            unit_of_work=unit_of_work,
            others=bus,
            clock=clock,
            ids=ids,
            timeout_seconds=settings.ask_timeout_seconds,
        ),
        passwords=Argon2Passwords(),
        access_tokens=JwtAccessTokens(
            secret=jwt_secret, lifetime=settings.access_token_lifetime, clock=clock
        ),
        secret_source=secret_source,
        vault=vault,
        cloud=cloud,
        safe_mode=runtime.safe_mode,
        clock=clock,
        ids=ids,
    )
    server = HttpServer(make_application(dependencies), host=settings.http_host, port=settings.http_port)
    runtime.on_close(server.close)
    await server.start()


async def _open_agents_door(
    settings: GatewaySettings, runtime: service.Runtime, unit_of_work: UnitOfWorkFactory
) -> None:
    seed = settings.callout_issuer_seed.get_secret_value()
    if not seed:
        log.warning("agents_door_closed", reason="GATEWAY_CALLOUT_ISSUER_SEED is not set")
        return
    issuer = CalloutIssuer(
        seed=seed, account_name=settings.nats_account, clock=runtime.clock, ids=runtime.ids
    )

    async def admit(presented: str) -> BusGrant:
        return await admit_agent(
            presented=presented,
            unit_of_work=unit_of_work,
            clock=runtime.clock,
            install_token_lifetime=settings.install_token_lifetime,
            install_token_reuse=settings.install_token_reuse,
            connection_lifetime=settings.agent_connection_lifetime,
        )

    connection = runtime.bus.broker.config.connection_state.connection
    await callout.listen(connection, callout.Callout(issuer=issuer, admit=admit))
