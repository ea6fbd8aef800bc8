"""From a request to what a handler takes; everything that does not fit is refused with its name."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, TypeAdapter, ValidationError

from services.gateway.entrypoints.http.problems import field_problems
from services.gateway.errors import (
    InvalidInputError,
    MalformedBodyError,
    NotFoundError,
    RevisionRequiredError,
)

B = TypeVar("B", bound=BaseModel)

NOT_AN_OBJECT = frozenset({"json_invalid", "model_type"})
"""What pydantic calls a body that is no JSON, or another kind of JSON."""

KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

NUL = b"\\u0000"
"""As JSON spells the one character that Postgres cannot store."""

_INSTANT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


async def body_of(request: web.Request, model: type[B], *, is_optional: bool = False) -> B:
    """Read the JSON body.

    Raises:
        MalformedBodyError: it is no JSON object.
        InvalidInputError: a field is missing, unknown or wrong.
    """
    try:
        raw = await request.read()
    except web.RequestPayloadError as error:
        raise MalformedBodyError("The body is not what its Content-Encoding says.") from error
    if NUL in raw:
        raise InvalidInputError("The body holds a NUL character.")
    try:
        return model.model_validate_json(raw or b"{}" if is_optional else raw, extra="forbid")
    except ValidationError as error:
        raise _refusal(error, model) from error


def id_in_path(request: web.Request, name: str) -> UUID:
    """Read an id from the path; what is no id names nothing.

    Raises:
        NotFoundError: it is no UUID.
    """
    try:
        return UUID(request.match_info[name])
    except ValueError as error:
        raise NotFoundError from error


def key_in_path(request: web.Request, name: str) -> str:
    """Read a key from the path; what cannot be one names nothing.

    Raises:
        NotFoundError: it is no key.
    """
    return _key(request.match_info[name])


def key_in_query(request: web.Request, name: str) -> str | None:
    """Read a key from the query.

    Raises:
        NotFoundError: it is no key.
    """
    return _key(request.query[name]) if name in request.query else None


def number_in_query(request: web.Request, name: str, *, default: int, least: int, most: int) -> int:
    """Read a number from the query.

    Raises:
        InvalidInputError: it is no number from `least` to `most`.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not least <= int(text) <= most:
        reason = f"must be a number from {least} to {most}"
        raise InvalidInputError(f"{name} {reason}.", fields={name: reason})
    return int(text)


def instant_in_query(request: web.Request, name: str) -> datetime | None:
    """Read an instant from the query.

    Raises:
        InvalidInputError: it is no RFC 3339 instant with a zone.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        # A plus sign that nobody encoded arrives as a space.
        return _INSTANT.validate_json(json.dumps(text.replace(" ", "+")))
    except ValidationError as error:
        reason = "must be an instant such as 2026-01-31T12:00:00Z"
        raise InvalidInputError(f"{name} {reason}.", fields={name: reason}) from error


def revision_expected(request: web.Request) -> int:
    """Read If-Match.

    Raises:
        RevisionRequiredError: it is missing, or no ETag of ours.
    """
    text = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise RevisionRequiredError
    return int(text)


def etag(revision: int) -> Mapping[str, str]:
    """Give the header that If-Match is compared with."""
    return {"ETag": f'"{revision}"'}


def _key(text: str) -> str:
    if not KEY.fullmatch(text):
        raise NotFoundError
    return text


def _refusal(error: ValidationError, model: type[BaseModel]) -> InvalidInputError | MalformedBodyError:
    found = error.errors(include_input=False, include_url=False)
    if any(not item["loc"] and item["type"] in NOT_AN_OBJECT for item in found):
        return MalformedBodyError()
    examples = {name: str(field.examples[0]) for name, field in model.model_fields.items() if field.examples}
    fields = field_problems([dict(item) for item in found], examples)
    field, reason = next(iter(fields.items()))
    more = f" ({len(fields) - 1} more)" if len(fields) > 1 else ""
    return InvalidInputError(f"{field}: {reason}{more}.", fields=fields)
