"""Selectors, as apimachinery and component-helpers evaluate them."""

import re
from collections.abc import Mapping
from typing import assert_never

from shared.kernel.workload import LabelSelector, Node, NodeSelectorTerm, Operator, Pod, Requirement

NAME_FIELD = "metadata.name"
"""The only field that a node selector may name."""
INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII)
MOST = 2**63
"""Gt and Lt compare 64-bit integers; what is none of these is not compared."""


def holds(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether labels meet one requirement; NotIn holds where the label is missing."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case Operator.IN:
            return value is not None and value in requirement.values
        case Operator.NOT_IN:
            return value is None or value not in requirement.values
        case Operator.EXISTS:
            return value is not None
        case Operator.DOES_NOT_EXIST:
            return value is None
        case Operator.GT | Operator.LT:
            return _compares(requirement, value)
        case _:
            assert_never(requirement.operator)


def selects(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; None matches nothing, an empty one everything."""
    return selector is not None and all(holds(item, labels) for item in selector.requirements)


def term_selects(term: NodeSelectorTerm, node: Node) -> bool:
    """Whether a term of a node selector matches; one without requirements matches nothing."""
    if not term.labels and not term.fields:
        return False
    fields = {NAME_FIELD: node.name}
    return all(holds(item, node.labels) for item in term.labels) and all(
        holds(item, fields) for item in term.fields
    )


def any_term_selects(terms: tuple[NodeSelectorTerm, ...], node: Node) -> bool:
    """Whether one of the terms matches; no terms are no constraint."""
    return not terms or any(term_selects(term, node) for term in terms)


def pod_selects(pod: Pod, node: Node) -> bool:
    """Whether the pod's nodeSelector and required node affinity allow the node."""
    labels = node.labels
    return all(labels.get(key) == value for key, value in pod.node_selector.items()) and any_term_selects(
        pod.node_affinity, node
    )


def _compares(requirement: Requirement, value: str | None) -> bool:
    left = _integer(value)
    right = _integer(requirement.values[0]) if len(requirement.values) == 1 else None
    if left is None or right is None:
        return False
    return left > right if requirement.operator is Operator.GT else left < right


def _integer(text: str | None) -> int | None:
    if text is None or not INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -MOST <= number < MOST else None
