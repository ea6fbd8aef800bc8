"""Selectors, as they stand in pods, budgets and volumes."""

from shared.kernel.kubernetes.fields import Fields
from shared.kernel.workload import LabelSelector, NodeSelectorTerm, Operator, Requirement

LABEL_OPERATORS = frozenset({Operator.IN, Operator.NOT_IN, Operator.EXISTS, Operator.DOES_NOT_EXIST})
"""Gt and Lt compare labels of nodes only."""


def parse_selector(selector: Fields | None) -> LabelSelector | None:
    """Give a label selector: missing matches nothing, an empty one everything."""
    if selector is None:
        return None
    exact = (Requirement(k, Operator.IN, (v,)) for k, v in sorted(selector.strings("matchLabels").items()))
    return LabelSelector((*exact, *_requirements(selector, "matchExpressions", LABEL_OPERATORS)))


def parse_node_terms(selector: Fields) -> tuple[NodeSelectorTerm, ...]:
    """Give the terms of a node selector."""
    return tuple(parse_node_term(term) for term in selector.children("nodeSelectorTerms"))


def parse_node_term(term: Fields) -> NodeSelectorTerm:
    """Give one term; one without requirements stays, as it matches no node."""
    return NodeSelectorTerm(
        _requirements(term, "matchExpressions", frozenset(Operator)),
        _requirements(term, "matchFields", frozenset({Operator.IN, Operator.NOT_IN})),
    )


def _requirements(fields: Fields, name: str, allowed: frozenset[Operator]) -> tuple[Requirement, ...]:
    return tuple(_requirement(item, allowed) for item in fields.children(name))


def _requirement(fields: Fields, allowed: frozenset[Operator]) -> Requirement:
    key, operator = fields.text("key"), fields.text("operator")
    if not key:
        raise fields.error("key", "is missing")
    if operator not in allowed:
        raise fields.error("operator", f'"{operator}" is not one of {", ".join(sorted(allowed))}')
    values = fields.texts("values")
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        raise fields.error("values", f"is empty, but {operator} needs one")
    if operator in (Operator.GT, Operator.LT) and len(values) != 1:
        raise fields.error("values", f"must hold exactly one number for {operator}")
    return Requirement(key, Operator(operator), values)
