"""Why a pod found no node, in words that name what to change."""

from collections.abc import Hashable

from services.optimizer.domain import selection
from services.optimizer.domain.drafts import Unplaced
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel.resources import Resources
from shared.kernel.scheduling import ClusterView, shape_key
from shared.kernel.workload import ClusterObjects, Pod

GIB = 1024**3
MOST_REFUSALS = 3


def explain(pod: Pod, *, shelf: Shelf, market: Market, grouper: Grouper, state: ClusterObjects) -> Unplaced:
    """Give the reasons, the most general first."""
    rules, template = grouper.rules, grouper.template
    reasons: list[str] = []
    usable = list(range(len(shelf.offers)))
    tolerance = grouper.judge.refusal(pod)
    if tolerance is not None and rules.strategy is not Strategy.ON_DEMAND:
        spot = [i for i in usable if shelf.offers[i].is_spot]
        usable = [i for i in usable if not shelf.offers[i].is_spot]
        if spot and not usable:
            reasons.append(f"it may not run on spot, since {tolerance}, and nothing else is allowed")
    if not usable:
        reasons += _no_offer(market, rules, template)
        return Unplaced(pod.key, tuple(reasons))
    room = [_left(shelf, i) for i in usable]
    largest = Resources()
    for free in room:
        largest = largest.at_least(free)
    too_large = _too_large(pod.requests, largest)
    if too_large:
        reasons += [f"larger than any allowed instance type: {text}" for text in too_large]
    fitting = [i for i, free in zip(usable, room, strict=True) if pod.requests.fits_in(free)]
    if not fitting and not too_large:
        reasons.append("no allowed instance type has enough of everything it asks for at once")
    if not fitting:
        reasons += _would_fit(pod, market, rules, template)
    reasons += _rules_against(pod, shelf, fitting or usable[-1:], state)
    return Unplaced(pod.key, tuple(dict.fromkeys(reasons)) or ("no node of the plan had room for it",))


def _left(shelf: Shelf, at: int) -> Resources:
    free = shelf.nodes[at].allocatable
    for daemon in shelf.daemons[at]:
        free = free - daemon.requests
    return free


def _too_large(asked: Resources, largest: Resources) -> list[str]:
    found = []
    if asked.cpu_millicores > largest.cpu_millicores:
        found.append(
            f"needs {asked.cpu_millicores / 1000:g} vCPU, the largest has {largest.cpu_millicores / 1000:g}"
        )
    if asked.memory_bytes > largest.memory_bytes:
        found.append(
            f"needs {asked.memory_bytes / GIB:.4g} GiB of memory, the largest has {largest.memory_bytes / GIB:.4g}"
        )
    if asked.ephemeral_storage_bytes > largest.ephemeral_storage_bytes:
        found.append(
            f"needs {asked.ephemeral_storage_bytes / GIB:.4g} GiB of ephemeral storage,"
            f" nodes have {largest.ephemeral_storage_bytes / GIB:.4g}"
        )
    for name, amount in sorted(asked.extended.items()):
        if amount > largest.extended.get(name, 0):
            found.append(f"needs {amount} {name}, the largest has {largest.extended.get(name, 0)}")
    return found


def _no_offer(market: Market, rules: PlanRules, template: Template) -> list[str]:
    if not market.offers:
        return ["no prices are known, so nothing can be launched"]
    counts = selection.refusals(market.offers, market, rules, template)
    worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_REFUSALS]
    return [f"no offer is allowed: {why} ({number} offers)" for why, number in worst] or [
        "no offer is allowed"
    ]


def _would_fit(pod: Pod, market: Market, rules: PlanRules, template: Template) -> list[str]:
    why_not: dict[str, Offer] = {}
    for offer in sorted(market.prices().values(), key=lambda o: (o.micro_usd, o.pool)):
        instance_type = market.instance_types.get(offer.pool.instance_type)
        why = selection.refusal(offer, instance_type, rules, template)
        if why is None or instance_type is None:
            continue
        room = Resources(
            instance_type.vcpus * 1000,
            instance_type.memory_bytes,
            pod.requests.ephemeral_storage_bytes,
            instance_type.gpus,
        )
        if pod.requests.fits_in(room):
            why_not.setdefault(why, offer)
    closest = list(why_not.items())[:MOST_REFUSALS]
    return [f"{offer.pool.instance_type} could hold it, but {why}" for why, offer in closest]


def _rules_against(pod: Pod, shelf: Shelf, rows: list[int], state: ClusterObjects) -> list[str]:
    view = ClusterView.of(state)
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for row in rows:
        zone = shelf.offers[row].pool.zone_id
        if zone in seen:
            continue
        seen.add(zone)
        name = f"candidate-in-{zone}"
        node = shelf.node(row, name)
        view.add_node(node)
        for why in view.reasons_against(pod, name):
            if "nsufficient" not in why:
                counts[why] = counts.get(why, 0) + 1
        view.remove_node(name)
    return [f"in {number} of {len(seen)} zones: {why}" for why, number in sorted(counts.items())]


def explain_all(
    pods: tuple[Pod, ...], *, shelf: Shelf, market: Market, grouper: Grouper, state: ClusterObjects
) -> tuple[Unplaced, ...]:
    """Explain each; pods that ask for the same are looked at once."""
    known: dict[Hashable, tuple[str, ...]] = {}
    found: list[Unplaced] = []
    for pod in pods:
        key = (shape_key(pod), pod.owner)
        if key not in known:
            why = explain(pod, shelf=shelf, market=market, grouper=grouper, state=state)
            known[key] = why.reasons
        found.append(Unplaced(pod.key, known[key]))
    return tuple(found)
