"""CreateFleet of type instant.

moto puts everything into the first override and never errs. EC2 orders the overrides by the allocation
strategy, takes from each what its pool holds, and reports the pools that had none in `Errors` beside the
instances that it did launch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.sandbox.aws.launches import Launches, LaunchRefusedError, Outcome, Pool, insufficient
from deploy.sandbox.aws.moto_client import EC2_VERSION, Caller
from deploy.sandbox.aws.query_protocol import Form, Node, ec2_error, error_in, tags_of, xml_answer
from deploy.sandbox.aws.records import ON_DEMAND, SPOT

TEMPLATE_FIELDS = {
    "LaunchTemplateId": "launchTemplateId",
    "LaunchTemplateName": "launchTemplateName",
    "Version": "version",
}
OVERRIDE_FIELDS = {
    "InstanceType": "instanceType",
    "MaxPrice": "maxPrice",
    "SubnetId": "subnetId",
    "AvailabilityZone": "availabilityZone",
    "WeightedCapacity": "weightedCapacity",
    "Priority": "priority",
    "ImageId": "imageId",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One override of one launch template."""

    template: Form
    override: Form
    request: Form
    """The RunInstances request that it stands for."""
    pool: Pool
    position: int

    @property
    def weight(self) -> float:
        """Units of target capacity that one instance fulfils."""
        return float(self.override.get("WeightedCapacity") or 1.0)

    @property
    def priority(self) -> float:
        """Lower is tried first; without one last."""
        return float(self.override.get("Priority") or math.inf)

    def described(self) -> Mapping[str, Node]:
        """Write it as LaunchTemplateAndOverrides."""
        return {
            "launchTemplateSpecification": {
                to: self.template.get(name) for name, to in TEMPLATE_FIELDS.items() if self.template.get(name)
            },
            "overrides": {
                to: self.override.get(name) for name, to in OVERRIDE_FIELDS.items() if self.override.get(name)
            },
        }


@dataclass
class Allocation:
    """What a fleet got so far."""

    launched: list[tuple[Candidate, tuple[str, ...]]]
    failed: list[tuple[Candidate, str, str]]
    """Candidate, code, message."""


async def create_fleet(launches: Launches, caller: Caller, form: Form, *, request_id: str) -> Outcome:
    """Answer CreateFleet of type instant."""
    async with launches.lock:
        try:
            known = launches.tokens.recall(caller, form)
            if known is not None:
                return known
            outcome = await _create(launches, caller, form, request_id)
        except LaunchRefusedError as refused:
            answer = ec2_error(refused.code, refused.message, status=refused.status, request_id=request_id)
            return Outcome(answer, error=refused.code)
        launches.tokens.remember(caller, form, outcome)
        return outcome


async def _create(launches: Launches, caller: Caller, form: Form, request_id: str) -> Outcome:
    fleet_id = f"fleet-{request_id}"
    allocation = Allocation([], [])
    for capacity_type, target in _targets(form).items():
        candidates = _ordered(
            launches, _candidates(launches, caller, form, capacity_type), form, capacity_type
        )
        await _fill(launches, caller, candidates, target, _least(form, capacity_type), allocation)
    content: dict[str, Node] = {
        "fleetId": fleet_id,
        "errorSet": [
            {
                "launchTemplateAndOverrides": candidate.described(),
                "lifecycle": candidate.pool.capacity_type,
                "errorCode": code,
                "errorMessage": message,
            }
            for candidate, code, message in allocation.failed
        ],
        "fleetInstanceSet": [
            {
                "launchTemplateAndOverrides": candidate.described(),
                "lifecycle": candidate.pool.capacity_type,
                "instanceIds": list(ids),
                "instanceType": candidate.pool.instance_type,
            }
            for candidate, ids in allocation.launched
        ],
    }
    launched = tuple(i for _, ids in allocation.launched for i in ids)
    return Outcome(xml_answer("CreateFleet", content, request_id=request_id), launched)


def _targets(form: Form) -> dict[str, float]:
    """Split the target capacity into capacity types."""
    target = form.under("TargetCapacitySpecification")
    total = float(target.get("TotalTargetCapacity") or 0)
    on_demand = float(target.get("OnDemandTargetCapacity") or 0)
    spot = float(target.get("SpotTargetCapacity") or 0)
    rest = max(total - on_demand - spot, 0.0)
    if target.get("DefaultTargetCapacityType", "on-demand") == "spot":
        spot += rest
    else:
        on_demand += rest
    return {kind: units for kind, units in ((ON_DEMAND, on_demand), (SPOT, spot)) if units > 0}


def _least(form: Form, capacity_type: str) -> float:
    options = "SpotOptions" if capacity_type == SPOT else "OnDemandOptions"
    return float(form.get(f"{options}.MinTargetCapacity") or 0)


def _candidates(launches: Launches, caller: Caller, form: Form, capacity_type: str) -> list[Candidate]:
    candidates: list[Candidate] = []
    tags = tags_of(form, "instance")
    for config in form.items("LaunchTemplateConfigs"):
        template = config.under("LaunchTemplateSpecification")
        for override in config.items("Overrides") or [Form({})]:
            request = _request(template, override, tags, capacity_type)
            pool = launches.pool_of(caller, request)
            if pool is None:
                raise LaunchRefusedError(
                    "InvalidLaunchTemplateId.NotFound"
                    if not override.get("SubnetId")
                    else "InvalidFleetConfig",
                    "The launch template, its version or the subnet of an override does not exist.",
                )
            candidates.append(Candidate(template, override, request, pool, len(candidates)))
    if not candidates:
        raise LaunchRefusedError("MissingParameter", "The request must contain LaunchTemplateConfigs")
    return candidates


def _request(template: Form, override: Form, tags: Mapping[str, str], capacity_type: str) -> Form:
    """Write the RunInstances request of one override."""
    values = {"Action": "RunInstances", "Version": EC2_VERSION}
    values |= {f"LaunchTemplate.{name}": text for name, text in template.values.items()}
    values |= {n: override.get(n) for n in ("InstanceType", "SubnetId", "ImageId") if override.get(n)}
    zone = override.get("AvailabilityZone") or override.get("Placement.AvailabilityZone")
    if zone:
        values["Placement.AvailabilityZone"] = zone
    if capacity_type == SPOT:
        values["InstanceMarketOptions.MarketType"] = "spot"
    if tags:
        values["TagSpecification.1.ResourceType"] = "instance"
        for number, (key, value) in enumerate(tags.items(), start=1):
            values[f"TagSpecification.1.Tag.{number}.Key"] = key
            values[f"TagSpecification.1.Tag.{number}.Value"] = value
    return Form(values)


def _ordered(
    launches: Launches, candidates: Sequence[Candidate], form: Form, capacity_type: str
) -> list[Candidate]:
    """Sort by the allocation strategy; between equals the order given counts."""
    options = form.under("SpotOptions" if capacity_type == SPOT else "OnDemandOptions")
    strategy = options.get("AllocationStrategy", "lowest-price").replace("_", "-")

    def price(candidate: Candidate) -> float:
        known = launches.price(candidate.pool)
        return math.inf if known is None else known / candidate.weight

    def room(candidate: Candidate) -> int:
        known = candidate.pool.instance_type in launches.facts
        return launches.available(candidate.pool) if known else 0

    def key(candidate: Candidate) -> tuple[float, ...]:
        match strategy:
            case "prioritized":
                return (candidate.priority, candidate.position)
            case "capacity-optimized":
                return (-room(candidate), candidate.position)
            case "capacity-optimized-prioritized":
                return (candidate.priority, -room(candidate), candidate.position)
            case "price-capacity-optimized":
                return (room(candidate) == 0, price(candidate), candidate.position)
            case _:
                return (price(candidate), candidate.position)

    return sorted(candidates, key=key)


async def _fill(
    launches: Launches,
    caller: Caller,
    candidates: Sequence[Candidate],
    target: float,
    least: float,
    allocation: Allocation,
) -> None:
    """Take from each pool what it holds until `target` is reached; below `least` launch nothing."""
    planned: list[tuple[Candidate, int]] = []
    missing = target
    for candidate in candidates:
        if missing <= 0:
            break
        wanted = math.ceil(missing / candidate.weight)
        try:
            count = min(wanted, _room(launches, candidate, planned))
            if count < wanted:
                allocation.failed.append((candidate, *_why(insufficient(candidate.pool))))
        except LaunchRefusedError as refused:
            allocation.failed.append((candidate, *_why(refused)))
            continue
        if count > 0:
            planned.append((candidate, count))
            missing -= count * candidate.weight
    if target - missing < least:
        return
    for candidate, count in planned:
        outcome = await launches.launch(caller, candidate.request, candidate.pool, count=count)
        if outcome.instance_ids:
            allocation.launched.append((candidate, outcome.instance_ids))
        else:
            error = error_in(outcome.answer.body) or ("InternalError", "moto refused the launch")
            allocation.failed.append((candidate, *error))


def _room(launches: Launches, candidate: Candidate, planned: Sequence[tuple[Candidate, int]]) -> int:
    """Count what the pool holds beyond what this fleet already plans to take from it.

    Raises:
        LaunchRefusedError: the pool is not offered, or too expensive for the override's MaxPrice.
    """
    pool = candidate.pool
    launches.check_offered(pool)
    highest, price = candidate.override.get("MaxPrice"), launches.price(pool)
    if pool.capacity_type == SPOT and highest and price is not None and price > float(highest):
        raise LaunchRefusedError(
            "SpotMaxPriceTooLow",
            f"Your Spot request price of {highest} is lower than the minimum of {price}.",
        )
    return launches.available(pool) - sum(n for c, n in planned if c.pool == pool)


def _why(refused: LaunchRefusedError) -> tuple[str, str]:
    return refused.code, refused.message
