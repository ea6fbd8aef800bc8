"""Connect a cluster: from here on every service knows whose it is and what may be done in it."""

from dataclasses import dataclass

from services.gateway.domain import tokens
from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.issue_install_token import add_install_token
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import Cluster, Configuration, SecretSource, UnitOfWorkFactory
from shared.contracts.v1.gateway import CloudAccountRef, ClusterConfigured, ClusterRegistered
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

FIRST_REVISION = 1


@dataclass(frozen=True, slots=True)
class ConnectedCluster:
    """A cluster, and the token that its agent enrols with."""

    cluster: Cluster
    install_token: tokens.Token


async def connect_cluster(
    *,
    caller: Caller,
    name: str,
    cloud_account_id: str,
    node_template: NodeTemplate,
    policy: Policy,
    unit_of_work: UnitOfWorkFactory,
    secret_source: SecretSource,
    clock: Clock,
    ids: Ids,
) -> ConnectedCluster:
    """Keep the cluster and tell the others.

    Raises:
        NotFoundError: the organization has no such cloud account.
        ConflictError: there is a cluster of this name.
    """
    configuration = Configuration(revision=FIRST_REVISION, policy=policy, node_template=node_template)
    cluster = Cluster(
        id=str(ids.new()),
        organization_id=caller.organization_id,
        account_id=cloud_account_id,
        name=name,
        created_at=clock.now(),
        configuration=configuration,
    )
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        account = await uow.accounts.get(cloud_account_id)
        if account is None:
            raise NotFoundError("There is no such cloud account.")
        await uow.clusters.add(cluster)
        token = await add_install_token(uow, cluster.id, secret_source=secret_source, clock=clock, ids=ids)
        registered = ClusterRegistered.make(
            scope=cluster.id,
            clock=clock,
            ids=ids,
            organization_id=caller.organization_id,
            name=name,
            cloud_account=CloudAccountRef(
                id=account.id, account_number=account.account_number, region=account.region
            ),
        )
        await uow.outbox.add(registered)
        await uow.outbox.add(
            ClusterConfigured.make(
                scope=cluster.id,
                clock=clock,
                ids=ids,
                cause=registered,
                organization_id=caller.organization_id,
                revision=FIRST_REVISION,
                policy=policy,
                node_template=node_template,
            )
        )
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="connect_cluster",
            target=cluster.id,
            detail={"name": name, "cloud_account_id": cloud_account_id},
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
            cause=registered,
        )
    return ConnectedCluster(cluster, token)
