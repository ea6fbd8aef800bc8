"""A policy, or commitments, as a file: JSON or YAML, in the words of the contracts."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from deploy.planfiles.documents import PlanFileError, text_of
from services.optimizer.domain.rules import PlanRules
from services.optimizer.handlers.mapping import commitments_from, rules_from
from shared.contracts.v1.policy import Commitments, Policy

Model = TypeVar("Model", bound=BaseModel)

OWN_WORDS = {
    "extra_forbidden": "there is no such field",
    "missing": "it must be given",
    "tuple_type": "it must be a list",
    "string_type": "it must be text: put it in quotes",
}
"""By pydantic's type of error, where its own words are about Python."""


def read_rules(policy: Path | None, commitments: Path | None = None) -> PlanRules:
    """Give what planning needs of a policy, the default one without a file; a file of commitments replaces its own.

    Raises:
        PlanFileError: a file is broken, or names a field that there is not.
    """
    rules = rules_from(Policy() if policy is None else read_model(policy, Policy, "a policy"))
    if commitments is None:
        return rules
    bought = read_model(commitments, Commitments, "a file of commitments")
    return replace(rules, commitments=commitments_from(bought))


def read_model(path: Path, model: type[Model], what: str) -> Model:
    """Read a file of the model's fields; `what` it is, as sentences about it say.

    Raises:
        PlanFileError: it is broken, or names a field that there is not.
    """
    try:
        # JSON is YAML too.
        written = yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        raise PlanFileError(f"{path} is neither JSON nor YAML.") from error
    if written is None:
        raise PlanFileError(f"{path} is empty; {{}} is {what} with nothing in it.")
    if not isinstance(written, dict):
        raise PlanFileError(f"{path} is not {what}: it must be a mapping of fields to values.")
    unknown = sorted(str(key) for key in written.keys() - model.model_fields.keys())
    if unknown:
        raise PlanFileError(f"{path}: {_unknown_field(unknown[0], model, what)}")
    try:
        # A field of a part that nobody knows is a typo here; on the bus it is a newer producer.
        return model.model_validate(written, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = OWN_WORDS.get(first["type"], _plainly(first["msg"]))
        raise PlanFileError(f"{path}: {where + ': ' if where else ''}{why}.") from error


def _plainly(message: str) -> str:
    """Leave out the words that are about the validator."""
    return message.removeprefix("Value error, ").replace("Input should be", "it must be", 1)


def _unknown_field(name: str, model: type[BaseModel], what: str) -> str:
    """Name the field that was probably meant, or else all there are."""
    near = get_close_matches(name, model.model_fields, n=1)
    if near:
        return f"{what} has no field {name}; did you mean {near[0]}?"
    return f"{what} has no field {name}; its fields are {', '.join(sorted(model.model_fields))}."
