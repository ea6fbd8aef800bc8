"""Get onto the bus: with the stored credential, or by trading the install token for one."""

from datetime import timedelta

import structlog

from agent.errors import BusUnavailableError, MisconfiguredError
from agent.ports import Credential, CredentialStore, Gateway
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

RETRY_EVERY = timedelta(seconds=2)
LOG_EVERY_ATTEMPTS = 15


async def enrol_agent(
    *,
    cluster_id: str,
    install_token: str,
    kubernetes_version: str | None,
    store: CredentialStore,
    gateway: Gateway,
    clock: Clock,
) -> Credential:
    """Return the credential; wait as long as the gateway or the bus is away.

    Raises:
        EnrolmentRefusedError: the gateway says no.
        MisconfiguredError: there is neither a credential nor a token.
    """
    stored = await store.load()
    if stored is not None and stored.cluster_id == cluster_id:
        return stored
    if not install_token:
        raise MisconfiguredError(
            f"cluster {cluster_id} is not enrolled yet: set AGENT_INSTALL_TOKEN to the token that connecting it gave"
        )
    attempt = 0
    while True:
        try:
            credential = await gateway.enrol(
                install_token=install_token, kubernetes_version=kubernetes_version
            )
        except BusUnavailableError as error:
            if attempt % LOG_EVERY_ATTEMPTS == 0:
                log.warning("enrolment_waits", error=str(error))
            attempt += 1
            await clock.sleep(RETRY_EVERY.total_seconds())
        else:
            await store.save(credential)
            log.info("agent_enrolled", cluster_id=cluster_id, signing_keys=sorted(credential.signing_keys))
            return credential
