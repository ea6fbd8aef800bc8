"""Which pods a drain must move, and which forbid it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.workload import Pod

FIRST_RETRY = timedelta(milliseconds=500)
LONGEST_RETRY = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class DrainRules:
    """How careful a drain has to be."""

    excluded_namespaces: frozenset[str] = frozenset()
    is_forced_by_cloud: bool = False
    """The instance goes anyway: better an orderly end for whatever may be touched than none."""


def pods_to_move(pods: Iterable[Pod], rules: DrainRules) -> list[Pod]:
    """Give the pods that must leave: not daemons, mirrors, or those that have finished."""
    return [
        pod
        for pod in pods
        if not (pod.is_daemon or pod.is_mirror or pod.is_finished)
        and not (rules.is_forced_by_cloud and pod.namespace in rules.excluded_namespaces)
    ]


def reasons_to_refuse(pods: Iterable[Pod], rules: DrainRules) -> dict[str, str]:
    """Give, by namespace/name, why pods that must leave may not be touched."""
    if rules.is_forced_by_cloud:
        return {}
    reasons: dict[str, str] = {}
    for pod in pods_to_move(pods, rules):
        if pod.namespace in rules.excluded_namespaces:
            reasons[pod.key] = "its namespace is excluded"
        elif pod.do_not_disrupt:
            reasons[pod.key] = "it says do-not-disrupt"
        elif pod.owner is None:
            reasons[pod.key] = "no controller would make it again"
    return reasons


@dataclass(frozen=True, slots=True)
class Retry:
    """When an eviction that a budget refused is tried again."""

    not_before: datetime
    wait: timedelta = FIRST_RETRY


def next_retry(previous: Retry | None, *, now: datetime) -> Retry:
    """Double the wait from 0.5 s to 5 s."""
    wait = FIRST_RETRY if previous is None else min(previous.wait * 2, LONGEST_RETRY)
    return Retry(now + wait, wait)
