"""The digest that ties an approval to exactly the plan that was seen."""

import hashlib
import json

from shared.contracts.v1.plan import Plan


def plan_sha256(plan: Plan) -> str:
    """Return the hex SHA-256 of the plan's canonical JSON (sorted keys, no white space, no field at its default).

    So a plan that was made before a field was added keeps the digest that it was proposed and approved with.
    """
    told = plan.model_dump(mode="json", exclude_defaults=True)
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
