"""RunInstances, and everything that both ways of launching share.

moto launches whatever it is asked for, any number of times. EC2 answers a repeated ClientToken with the
same instances, knows pools without capacity, and launches up to MaxCount where moto launches MinCount.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from deploy.sandbox.aws import moto_host
from deploy.sandbox.aws.faults import Capacity
from deploy.sandbox.aws.moto_client import Caller, MotoClient
from deploy.sandbox.aws.query_protocol import Answer, Form, ec2_error, error_in, launched_instances, tags_of
from deploy.sandbox.aws.records import ON_DEMAND, SPOT, Instance, InstanceTypeFacts
from deploy.sandbox.aws.registry import Registry
from deploy.sandbox.market.market import Market


class LaunchRefusedError(Exception):
    """EC2 refuses; carries its code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True)
class Pool:
    """Where an instance is to run."""

    instance_type: str
    zone: str
    capacity_type: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, with what the log keeps of it."""

    answer: Answer
    instance_ids: tuple[str, ...] = ()
    error: str = ""
    repeated: bool = False


def insufficient(pool: Pool) -> LaunchRefusedError:
    """Say that a pool is empty, as EC2 does."""
    return LaunchRefusedError(
        "InsufficientInstanceCapacity",
        f"We currently do not have sufficient {pool.instance_type} capacity in the Availability Zone you"
        f" requested ({pool.zone}). Our system will be working on provisioning additional capacity.",
        500,
    )


class Tokens:
    """Answers by ClientToken."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str], tuple[str, Outcome]] = {}

    def recall(self, caller: Caller, form: Form) -> Outcome | None:
        """Give the first answer to this token; None when it is new or absent.

        Raises:
            LaunchRefusedError: the token came with other parameters before.
        """
        token = form.get("ClientToken")
        known = self._known.get(_token_key(caller, form)) if token else None
        if known is None:
            return None
        digest, outcome = known
        if digest != _digest(form):
            raise LaunchRefusedError(
                "IdempotentParameterMismatch",
                "The request uses the same client token as a previous, but non-identical request:"
                f" {form.get('ClientToken')}",
            )
        return Outcome(outcome.answer, outcome.instance_ids, outcome.error, repeated=True)

    def remember(self, caller: Caller, form: Form, outcome: Outcome) -> None:
        """Keep an answer; one without instances and with an error is no answer to keep."""
        if form.get("ClientToken") and not outcome.error:
            self._known[_token_key(caller, form)] = (_digest(form), outcome)


class Launches:
    """Launches one request at a time, so that nobody takes capacity twice."""

    def __init__(
        self,
        *,
        moto: MotoClient,
        market: Market,
        registry: Registry,
        capacity: Capacity,
        facts: Mapping[str, InstanceTypeFacts],
        zone_ids: Mapping[str, str],
        now: Callable[[], float],
        price: Callable[[str, str, str], float | None],
    ) -> None:
        self.moto = moto
        self.market = market
        self.lock = asyncio.Lock()
        self.tokens = Tokens()
        self._registry = registry
        self._capacity = capacity
        self.facts = facts
        self._zone_ids = zone_ids
        self._now = now
        self._price = price

    async def run_instances(self, caller: Caller, form: Form, *, request_id: str) -> Outcome:
        """Answer RunInstances."""
        async with self.lock:
            try:
                known = self.tokens.recall(caller, form)
                if known is not None:
                    return known
                outcome = await self._run(caller, form)
            except LaunchRefusedError as refused:
                answer = ec2_error(
                    refused.code, refused.message, status=refused.status, request_id=request_id
                )
                return Outcome(answer, error=refused.code)
            self.tokens.remember(caller, form, outcome)
            return outcome

    async def _run(self, caller: Caller, form: Form) -> Outcome:
        pool = self.pool_of(caller, form)
        least = max(form.integer("MinCount", 1), 1)
        most = max(form.integer("MaxCount", least), least)
        if pool is None:
            return Outcome(await self.moto.form(caller, form), error="NotLaunched")  # moto says what is wrong
        self.check_offered(pool)
        count = min(most, self.available(pool))
        if count < least:
            raise insufficient(pool)
        return await self.launch(caller, form, pool, count=count)

    def pool_of(self, caller: Caller, form: Form) -> Pool | None:
        """Find where a RunInstances request would land; None when its template or subnet is unknown.

        Raises:
            LaunchRefusedError: it names no instance type.
        """
        template: Mapping[str, object] = {}
        if form.under("LaunchTemplate").values:
            found = moto_host.template_data(
                caller.account,
                caller.region,
                template_id=form.get("LaunchTemplate.LaunchTemplateId"),
                name=form.get("LaunchTemplate.LaunchTemplateName"),
                version=form.get("LaunchTemplate.Version"),
            )
            if found is None:
                return None
            template = found
        instance_type = form.get("InstanceType") or str(template.get("InstanceType", ""))
        if not instance_type:
            raise LaunchRefusedError(
                "MissingParameter", "The request must contain the parameter InstanceType"
            )
        subnet = form.get("SubnetId") or form.get("NetworkInterface.1.SubnetId")
        zone: str | None = form.get("Placement.AvailabilityZone") or min(self._zone_ids)
        if subnet:
            zone = moto_host.subnet_zone(caller.account, caller.region, subnet)
        if zone is None:
            return None
        market_options = template.get("InstanceMarketOptions")
        default = market_options.get("MarketType", "") if isinstance(market_options, Mapping) else ""
        is_spot = form.get("InstanceMarketOptions.MarketType", str(default)) == "spot"
        return Pool(instance_type, zone, SPOT if is_spot else ON_DEMAND)

    def check_offered(self, pool: Pool) -> None:
        """Refuse a type that EC2 does not know, or not in that zone.

        Raises:
            LaunchRefusedError: with EC2's code for it.
        """
        if pool.instance_type not in self.facts:
            raise LaunchRefusedError(
                "InvalidInstanceType",
                f"The following supplied instance types do not exist: [{pool.instance_type}]",
            )
        if (pool.instance_type, pool.zone) not in self.market.offered:
            raise LaunchRefusedError(
                "Unsupported",
                f"Your requested instance type ({pool.instance_type}) is not supported in your requested"
                f" Availability Zone ({pool.zone}).",
            )

    def price(self, pool: Pool) -> float | None:
        """Give the USD per hour of a pool now."""
        return self._price(pool.instance_type, pool.zone, pool.capacity_type)

    def available(self, pool: Pool) -> int:
        """Count what the pool still holds."""
        return self._capacity.available(
            pool.instance_type,
            pool.zone,
            pool.capacity_type,
            vcpus=self.facts[pool.instance_type].vcpus,
            instances=self._registry.instances,
        )

    async def launch(self, caller: Caller, form: Form, pool: Pool, *, count: int) -> Outcome:
        """Launch `count` instances through moto and note them, whatever offerings and capacity say."""
        values = {"MinCount": str(count), "MaxCount": str(count)}
        if pool.capacity_type == SPOT:
            values["InstanceMarketOptions.MarketType"] = "spot"
        answer = await self.moto.form(caller, form.replacing(values))
        if answer.status >= 400:
            error = error_in(answer.body)
            return Outcome(answer, error=error[0] if error else "InternalError")
        instances = [self._instance(caller, form, pool, fields) for fields in launched_instances(answer.body)]
        for instance in instances:
            self._registry.launched(instance)
        return Outcome(answer, tuple(i.id for i in instances))

    def _instance(self, caller: Caller, form: Form, pool: Pool, fields: Mapping[str, str]) -> Instance:
        return Instance(
            id=fields["instanceId"],
            account=caller.account,
            instance_type=pool.instance_type,
            zone=pool.zone,
            zone_id=self._zone_ids[pool.zone],
            capacity_type=pool.capacity_type,
            tags=tags_of(form, "instance"),
            launched_at=self._now(),
            private_ip=fields.get("privateIpAddress", ""),
            usd_per_hour=self.price(pool) or 0.0,
        )


def _token_key(caller: Caller, form: Form) -> tuple[str, str, str, str]:
    return caller.account, caller.region, form.get("Action"), form.get("ClientToken")


def _digest(form: Form) -> str:
    return hashlib.sha256(urlencode(sorted(form.values.items())).encode()).hexdigest()
