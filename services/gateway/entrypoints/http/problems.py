"""Every failure as problem+json (RFC 9457): a status a program understands, and one sentence for its user."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

import structlog
from aiohttp import web

from services.gateway import errors
from shared.kernel.errors import RetryableError, SpotError, UnavailableError

log = structlog.get_logger(__name__)

STATUS_BY_ERROR: Mapping[type[SpotError], HTTPStatus] = {
    errors.InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MalformedBodyError: HTTPStatus.BAD_REQUEST,
    errors.NotAuthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.WrongPasswordError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.RevisionConflictError: HTTPStatus.PRECONDITION_FAILED,
    errors.RevisionRequiredError: HTTPStatus.PRECONDITION_REQUIRED,
    errors.TooManyAttemptsError: HTTPStatus.TOO_MANY_REQUESTS,
}
RETRY_AFTER_SECONDS = 2.0
LARGEST_BODY_BYTES = 256 * 1024
CONTENT_TYPE = "application/problem+json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def problem(
    status: HTTPStatus | int,
    detail: str,
    *,
    fields: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Give a problem document."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail,
    }
    if fields:
        body["errors"] = [{"field": field, "detail": reason} for field, reason in fields.items()]
    return web.Response(
        status=int(status), text=json.dumps(body), content_type=CONTENT_TYPE, headers=dict(headers or {})
    )


def problem_of(error: SpotError) -> web.Response:
    """Give the problem document of one of our errors."""
    for error_class, status in STATUS_BY_ERROR.items():
        if isinstance(error, error_class):
            headers: dict[str, str] = {}
            if status is HTTPStatus.UNAUTHORIZED:
                headers["WWW-Authenticate"] = "Bearer"
            if isinstance(error, RetryableError):
                headers["Retry-After"] = _retry_after(error)
            fields = error.fields if isinstance(error, errors.InvalidInputError) else None
            return problem(status, str(error), fields=fields, headers=headers)
    if isinstance(error, errors.AwsUnavailableError):
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": _retry_after(error)}
        )
    if isinstance(error, UnavailableError):
        # What exactly is away is for the log: a person can only wait.
        return problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Another part of the system does not answer now; try again in a moment.",
            headers={"Retry-After": _retry_after(error)},
        )
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here, and was logged.")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a problem document."""
    try:
        return await handler(request)
    except SpotError as error:
        response = problem_of(error)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("request_failed", path=request.path, error=repr(error), exc_info=error)
        return response
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        if isinstance(error, web.HTTPMethodNotAllowed):
            methods = ", ".join(sorted(error.allowed_methods))
            return problem(error.status, f"This address takes {methods} only.", headers={"Allow": methods})
        return problem(error.status, _sentence(error.status))
    except Exception as error:
        log.error("request_crashed", path=request.path, exc_info=error)
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong here, and was logged.")


def field_problems(
    found: Sequence[Mapping[str, object]], examples: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Give the sentence of each field that pydantic refused; an example says more than a pattern."""
    fields: dict[str, str] = {}
    for item in found:
        location = item["loc"]
        path = ".".join(str(part) for part in location) if isinstance(location, tuple) else str(location)
        reason = _reason(item, example=(examples or {}).get(path))
        fields.setdefault(path or "body", reason)
    return fields


def _reason(item: Mapping[str, object], *, example: str | None) -> str:
    match item["type"]:
        case "extra_forbidden":
            return "is no known field"
        case "missing":
            return "is required"
        case "string_pattern_mismatch" if example is not None:
            return f"must look like {example}"
        case _:
            return str(item["msg"])


def _retry_after(error: RetryableError) -> str:
    return str(math.ceil(error.retry_after_seconds or RETRY_AFTER_SECONDS))


def _sentence(status: int) -> str:
    match status:
        case HTTPStatus.NOT_FOUND:
            return "There is nothing at this address."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return f"The body is too large: {LARGEST_BODY_BYTES // 1024} KiB are allowed."
        case _:
            return "The request cannot be answered."
