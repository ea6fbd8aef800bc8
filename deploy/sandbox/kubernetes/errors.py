"""What the API answers when it refuses: a Status object with a reason a client can act on."""

from typing import Any

from deploy.sandbox.kubernetes.kinds import Kind, Object


class ApiError(Exception):
    """A refusal; becomes a Status body."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details or {},
            "code": code,
        }


def not_found(kind: Kind, name: str) -> ApiError:
    """Say that no object has this name."""
    return ApiError(
        404,
        "NotFound",
        f'{kind.qualified} "{name}" not found',
        details={"name": name, "group": kind.group, "kind": kind.plural},
    )


def no_such_path() -> ApiError:
    """Say that the server has no such resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> ApiError:
    """Say that the name is taken."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{kind.qualified} "{name}" already exists',
        details={"name": name, "group": kind.group, "kind": kind.plural},
    )


def conflict(kind: Kind, name: str, why: str) -> ApiError:
    """Say that the object is not the one the client meant."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}',
        details={"name": name, "group": kind.group, "kind": kind.plural},
    )


def modified(kind: Kind, name: str) -> ApiError:
    """Say that the client's resourceVersion is old."""
    return conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def bad_request(message: str) -> ApiError:
    """Say that the request makes no sense."""
    return ApiError(400, "BadRequest", message)


def invalid(kind: Kind, name: str, message: str) -> ApiError:
    """Say that the object breaks a rule of its kind."""
    return ApiError(
        422,
        "Invalid",
        f'{kind.kind}.{kind.group} "{name}" is invalid: {message}',
        details={"name": name, "group": kind.group, "kind": kind.kind},
    )


def expired(message: str) -> ApiError:
    """Say that history no longer reaches back that far."""
    return ApiError(410, "Expired", message)
