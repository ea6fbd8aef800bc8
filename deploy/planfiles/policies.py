"""A policy as a file, JSON or YAML, in the words of the contracts."""

from difflib import get_close_matches
from pathlib import Path

import yaml
from pydantic import ValidationError

from deploy.planfiles.documents import PlanFileError, text_of
from services.optimizer.domain.rules import PlanRules
from services.optimizer.handlers.mapping import rules_from
from shared.contracts.v1.policy import Policy


def read_rules(path: Path | None) -> PlanRules:
    """Give what planning needs of a policy; of the default one without a file.

    Raises:
        PlanFileError: the file is broken, or names a field that a policy does not have.
    """
    if path is None:
        return rules_from(Policy())
    try:
        # JSON is YAML too.
        written = yaml.safe_load(text_of(path))
    except yaml.YAMLError as error:
        raise PlanFileError(f"{path} is neither JSON nor YAML.") from error
    if written is None:
        written = {}
    if not isinstance(written, dict):
        raise PlanFileError(f"{path} is not a policy: it must be a mapping of fields to values.")
    unknown = sorted(str(key) for key in written.keys() - Policy.model_fields.keys())
    if unknown:
        raise PlanFileError(f"{path}: {_unknown_field(unknown[0])}")
    try:
        return rules_from(Policy.model_validate(written))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlanFileError(f"{path}: {where}: {first['msg']}.") from error


def _unknown_field(name: str) -> str:
    """Name the field that was probably meant, or else all there are."""
    near = get_close_matches(name, Policy.model_fields, n=1)
    if near:
        return f"a policy has no field {name}; did you mean {near[0]}?"
    return f"a policy has no field {name}; its fields are {', '.join(sorted(Policy.model_fields))}."
