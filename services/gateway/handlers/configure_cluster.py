"""Change what may be done in a cluster: one revision more, told to the others."""

from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError, RevisionConflictError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import Configuration, UnitOfWorkFactory
from shared.contracts.v1.gateway import ClusterConfigured
from shared.contracts.v1.policy import NodeTemplate, Policy
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def configure_cluster(
    *,
    caller: Caller,
    cluster_id: str,
    expected_revision: int,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    policy: Policy | None = None,
    node_template: NodeTemplate | None = None,
) -> Configuration:
    """Replace the policy or the node template.

    Raises:
        NotFoundError: the organization has no such cluster.
        RevisionConflictError: the configuration is not the one the caller saw.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        cluster = await uow.clusters.locked(cluster_id)
        if cluster is None:
            raise NotFoundError("There is no such cluster.")
        held = cluster.configuration
        if held.revision != expected_revision:
            raise RevisionConflictError(
                f"It is at revision {held.revision}, not {expected_revision}: read it again."
            )
        changed = Configuration(
            revision=held.revision + 1,
            policy=policy or held.policy,
            node_template=node_template or held.node_template,
        )
        await uow.clusters.configure(cluster_id, changed)
        event = ClusterConfigured.make(
            scope=cluster_id,
            clock=clock,
            ids=ids,
            organization_id=caller.organization_id,
            revision=changed.revision,
            policy=changed.policy,
            node_template=changed.node_template,
        )
        await uow.outbox.add(event)
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="change_policy" if policy else "change_node_template",
            target=cluster_id,
            detail={"revision": str(changed.revision)},
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
            cause=event,
        )
    return changed
