"""Answer for one pod or node of a plan: why is it here, and why not cheaper."""

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches

from services.optimizer.domain import (
    alternatives,
    consolidation,
    describing,
    objectives,
    preferences,
    selection,
    staying,
)
from services.optimizer.domain.describing import many, named
from services.optimizer.domain.drafts import MoveDraft
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer, usd
from services.optimizer.domain.packing.classes import columns_for
from services.optimizer.domain.study import Study
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.workload import Node, Pod

MOST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Explanation:
    """What there is to say about a pod or a node."""

    kind: str
    """pod or node."""
    subject: str
    placement: str
    """One sentence: where it is, and what becomes of it."""
    why: tuple[str, ...]
    """Why it is there: what narrowed the choice, in the order in which it did."""
    why_not_cheaper: tuple[str, ...]


class UnknownSubjectError(LookupError):
    """The plan has no pod or node of that name."""


def explain(study: Study, name: str) -> Explanation:
    """Explain the node, or the pod (namespace/name, or a name that only one pod has), called `name`.

    Raises:
        UnknownSubjectError: nothing, or more than one pod, is called so.
    """
    nodes = {n.node.name: n for n in (*study.before.nodes, *study.after.nodes)}
    if name in nodes:
        return _node(study, name)
    pods = {p.key: p for p in study.before.objects.pods}
    found = sorted(key for key in pods if key == name or key.endswith(f"/{name}"))
    if len(found) == 1:
        return _pod(study, pods[found[0]])
    if found:
        raise UnknownSubjectError(
            f"{len(found)} pods are called {name}: say which, such as {found[0]} or {found[1]}."
        )
    near = get_close_matches(name, sorted({*nodes, *pods, *(p.name for p in pods.values())}), n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    raise UnknownSubjectError(
        f"The plan has no pod or node called {name}{meant} Pods are named namespace/name, nodes to launch as the"
        " plan names them."
    )


def _node(study: Study, name: str) -> Explanation:
    before = {n.node.name: n for n in study.before.nodes}
    after = {n.node.name: n for n in study.after.nodes}
    if name not in before:
        return _launched(study, after[name])
    if name not in after:
        return _drained(study, before[name])
    return _stays(study, before[name], after[name])


def _launched(study: Study, node: StandingNode) -> Explanation:
    offer = node.offer
    assert offer is not None  # what is launched comes from the shelf
    move = _move_of(study, node.node.name)
    pods = node.movable
    why = [f"It is launched by {move.id}: {move.explanation}"] if move else []
    fullest = describing.binding_constraint([node])
    if fullest:
        why.append(f"It is fullest in {fullest}.")
    return Explanation(
        "node",
        node.node.name,
        f"{named(offer)} for {many(len(pods), 'pod')}, {usd(offer.micro_usd):.4g} USD/h.",
        tuple(why),
        _against_cheaper(study, _searched(study, node.node.name, offer), pods, node.node.name),
    )


def _drained(study: Study, node: StandingNode) -> Explanation:
    move = _move_of(study, node.node.name)
    where = {p.key: n for n in study.after.nodes for p in n.movable}
    targets = Counter(where[p.key].node.name for p in node.movable if p.key in where)
    gone = ", ".join(f"{number} to {name}" for name, number in sorted(targets.items())[:MOST_SHOWN])
    more = len(targets) - MOST_SHOWN
    why = [] if move is None else [move.explanation]
    if gone:
        why.append(
            f"Its pods are meant to go: {gone}{f' and {more} other nodes' if more > 0 else ''}; kube-scheduler decides."
        )
    price = "an unknown price" if node.offer is None else f"{usd(node.offer.micro_usd):.4g} USD/h"
    placement = f"{_kind(node)} at {price}, given up" + (f" by {move.id}." if move else ".")
    return Explanation("node", node.node.name, placement, tuple(why), ())


def _stays(study: Study, before: StandingNode, after: StandingNode) -> Explanation:
    price = "an unknown price" if before.offer is None else f"{usd(before.offer.micro_usd):.4g} USD/h"
    arriving = len(after.movable) - len(before.movable)
    placement = f"{_kind(before)} at {price}, stays" + (
        f" and takes {many(arriving, 'more pod')}." if arriving > 0 else "."
    )
    why: list[str] = []
    fullest = describing.binding_constraint([after])
    if fullest:
        why.append(f"It is fullest in {fullest.replace('the new nodes have', 'it has')}.")
    if before.kept_because is not None:
        return Explanation(
            "node",
            before.node.name,
            placement,
            (f"It stays as it is: {before.kept_because}.", *why),
            ("It was not compared with anything: what keeps it overrides a saving.",),
        )
    return Explanation("node", before.node.name, placement, tuple(why), staying.why_kept(study, before))


def _pod(study: Study, pod: Pod) -> Explanation:
    now = next((n for n in study.before.nodes if any(p.key == pod.key for p in n.pods)), None)
    then = next((n for n in study.after.nodes if any(p.key == pod.key for p in n.pods)), None)
    if then is None:
        entry = next((u for u in study.draft.unplaced if u.pod == pod.key), None)
        why = entry.reasons if entry else (_out_of_scope(pod),)
        return Explanation("pod", pod.key, "No node of the plan takes it.", tuple(why), ())
    if now is not None and now.node.name == then.node.name:
        placement = f"It runs on {then.node.name} ({_kind(then)}) and stays there."
    else:
        start = "It waits" if now is None else f"It leaves {now.node.name} ({_kind(now)})"
        placement = f"{start} and is meant for {then.node.name} ({_kind(then)}); kube-scheduler decides."
    if pod.is_daemon or pod.is_mirror:
        return Explanation("pod", pod.key, placement, ("It belongs to its node.",), ())
    return Explanation(
        "pod",
        pod.key,
        placement,
        (*_narrowed(study, pod), *_wishes(study, pod, then)),
        _pod_not_cheaper(study, pod, now, then),
    )


def _out_of_scope(pod: Pod) -> str:
    if pod.scheduling_gated:
        return "Its scheduling gates are not lifted yet: no room is planned for it."
    if pod.node_name is not None and not pod.is_finished:
        return f"It is bound to {pod.node_name}, which is not in the input."
    return "It is finished, or not for kube-scheduler to place."


def _narrowed(study: Study, pod: Pod) -> tuple[str, ...]:
    """Say how many offers each rule leaves for the pod alone."""
    shelf, grouper, market = study.packer.shelf, study.packer.grouper, study.market
    narrowed = selection.narrowing(market, grouper.rules, grouper.template)
    found = [
        f"{narrowed.known} offers are known; the policy and the node template allow {narrowed.allowed}.",
        *(f"{sentence}." for sentence in narrowed.sentences(MOST_SHOWN)),
    ]
    left = len(shelf.offers)
    paid_for = sum(copies is not None for copies in shelf.copies)
    if paid_for:
        found.append(
            f"{paid_for} more are offered at what they add to the bill, since commitments pay for them."
        )
    without_room = narrowed.allowed + paid_for - left
    if without_room > 0:
        found.append(f"{without_room} are too small for any pod.")
    tolerance = grouper.judge.refusal(pod)
    rows = list(range(left))
    if tolerance is not None:
        rows = [i for i in rows if not shelf.offers[i].is_spot]
        found.append(f"It may not run on spot, since {tolerance}: {len(rows)} are left.")
    first = {i: next(iter(static_reasons(pod, shelf.nodes[i])), None) for i in rows}
    able = [i for i in rows if first[i] is None]
    against = Counter(why for why in first.values() if why is not None)
    reasons = sorted(against.items(), key=lambda item: (-item[1], item[0]))
    found += [f"{number} are out: {why}." for why, number in reasons[:MOST_SHOWN]]
    if len(reasons) > MOST_SHOWN:
        more = sum(number for _, number in reasons[MOST_SHOWN:])
        found.append(f"{more} more are out for {many(len(reasons) - MOST_SHOWN, 'other reason')}.")
    columns = columns_for([pod])
    asked = columns.of_pod(pod)
    supply = shelf.supply(columns, grouper.rules)
    holding = [i for i in able if (supply.room[i] >= asked).all()]
    found.append(
        f"{len(holding)} of the {len(able)} that its labels, taints and volumes permit are large enough."
    )
    return tuple(found)


def _wishes(study: Study, pod: Pod, then: StandingNode) -> list[str]:
    """Say whether the node is what the pod prefers, and what counts where it is not."""
    micro = preferences.pod_micro_usd(pod, then.node, study.packer.grouper.rules)
    name = then.node.name
    if micro:
        what = "preferred node affinity, PreferNoSchedule taints"
        return [
            f"{name} is not all that it prefers ({what}): that counts {usd(micro):.4g} USD/h in the objective."
        ]
    return [f"{name} meets what it prefers."] if pod.preferred_nodes else []


def _pod_not_cheaper(study: Study, pod: Pod, now: StandingNode | None, then: StandingNode) -> tuple[str, ...]:
    found: list[str] = []
    if then.offer is not None:
        share = _share(pod, then)
        found.append(
            f"Its share of {then.node.name} is {share:.1%}, {usd(then.offer.micro_usd) * share:.4g} of"
            f" {usd(then.offer.micro_usd):.4g} USD/h."
        )
        able = _able(
            study, _searched(study, then.node.name, then.offer), [consolidation.unbound(pod)], then.node.name
        )
        if able:
            found.append(
                f"The cheapest node for it alone is {named(able[0])} at {usd(able[0].micro_usd):.4g} USD/h."
            )
    if now is not None and now.node.name == then.node.name:
        return (*found, *_node(study, then.node.name).why_not_cheaper)
    if now is None or now.node.name != then.node.name:
        if then.node.name not in {n.node.name for n in study.before.nodes}:
            found += _node(study, then.node.name).why_not_cheaper
        elif then.offer is not None:
            found.append("The node is there already: to use its free room costs nothing.")
    return tuple(found)


def _against_cheaper(study: Study, planned: Offer, pods: tuple[Pod, ...], name: str) -> tuple[str, ...]:
    """Say which offers come next, and what speaks against cheaper ones of about that size."""
    able = _able(study, planned, pods, name)
    found: list[str] = []
    judge = study.packer.grouper.judge
    for offer in (o for o in able if o.micro_usd < planned.micro_usd):
        risk, own = (
            objectives.beside_price(study.packer.shelf.node_like(o), o, pods, judge) for o in (offer, planned)
        )
        less = usd(planned.micro_usd - offer.micro_usd)
        if offer.micro_usd + risk >= planned.micro_usd + own:
            found.append(
                f"{named(offer)} costs {less:.4g} USD/h less, and its risk, with what its pods would rather have,"
                f" {usd(risk - own):.4g} USD/h more."
            )
        else:
            found.append(
                f"{named(offer)} would hold them for {less:.4g} USD/h less, taken alone: a limit on what one pool or"
                " zone may hold, or a rule between pods, spoke against it in this fleet."
            )
        if len(found) == MOST_SHOWN:
            break
    dearer = [o for o in able if o.micro_usd >= planned.micro_usd and o != planned]
    if dearer:
        extra = usd(dearer[0].micro_usd - planned.micro_usd)
        found.append(f"The runner-up is {named(dearer[0])}, {extra:.4g} USD/h more.")
    found += _too_small(study, planned, pods)
    return tuple(found)


def _too_small(study: Study, planned: Offer, pods: tuple[Pod, ...]) -> list[str]:
    """Name the dearest offers below the planned price, and what they lack for these pods."""
    shelf, grouper = study.packer.shelf, study.packer.grouper
    if not pods:
        return []
    columns = columns_for(pods)
    names = ("CPU", "memory", "ephemeral storage", "pod slots", *columns.extended)
    total = [sum(row) for row in zip(*(columns.of_pod(p) for p in pods), strict=True)]
    supply = shelf.supply(columns, grouper.rules)
    lacking: dict[str, tuple[int, Offer]] = {}
    for i, offer in enumerate(shelf.offers):
        if offer.micro_usd >= planned.micro_usd or offer.pool.zone_id != planned.pool.zone_id:
            continue
        short = [names[k] for k, need in enumerate(total) if supply.room[i][k] < need]
        if short:
            lacking[" and ".join(short)] = (i, offer)  # in order of price: the dearest stays
    closest = sorted(lacking.items(), key=lambda item: -item[1][0])[:MOST_SHOWN]
    return [f"{named(offer)} is cheaper and has too little {what}." for what, (_, offer) in closest]


def _able(study: Study, planned: Offer, pods: list[Pod] | tuple[Pod, ...], name: str) -> list[Offer]:
    claims = {v.key: v for v in study.before.objects.volumes} or None
    packer = study.packer
    if not pods:
        return []
    return alternatives.holders({name: (planned, pods)}, packer.shelf, packer.grouper, claims)[name]


def _searched(study: Study, name: str, told: Offer) -> Offer:
    """Give the offer of a node at the price at which it was compared with others."""
    found = (n.offer for n in study.searched.nodes if n.node.name == name)
    return next(found, None) or told


def _move_of(study: Study, name: str) -> MoveDraft | None:
    for move in study.draft.moves:
        if name in move.drains or any(launch.id == name for launch in move.launches):
            return move
    return None


def _share(pod: Pod, node: StandingNode) -> float:
    """Give the pod's part of what is requested on the node, by the resource it takes most of."""
    columns = columns_for([pod])
    total = [sum(row) for row in zip(*(columns.of_pod(p) for p in node.movable), strict=True)]
    own = columns.of_pod(pod)
    return max(own[k] / total[k] for k in (0, 1, *range(4, len(own))) if total[k] > 0) if any(total) else 0.0


def _kind(node: StandingNode) -> str:
    if node.offer is not None:
        return named(node.offer)
    kind: Node = node.node
    return f"{kind.instance_type or 'a node'}{f' in {kind.zone}' if kind.zone else ''}"
