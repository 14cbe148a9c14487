"""The errors a client can see, each with the code, reason and Status body of the Kubernetes API."""

from __future__ import annotations

from dataclasses import dataclass

from localcluster.objects import Obj


class LocalClusterError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigError(LocalClusterError):
    """The settings or the state directory cannot be used; the message says why."""


@dataclass(frozen=True)
class Cause:
    """One fault in an object: where, what kind, and in words."""

    field: str
    reason: str
    message: str


class ApiError(LocalClusterError):
    """An answer other than success; ``code`` and ``reason`` as in metav1.Status."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, details: Obj | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after
        self.retry_after = retry_after

    def status(self) -> Obj:
        """The metav1.Status body."""
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


class BadRequest(ApiError):
    """The request cannot be understood."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """No bearer token, or a wrong one."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """Understood and refused."""

    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    """No such path or object."""

    code, reason = 404, "NotFound"


class MethodNotAllowed(ApiError):
    """The resource does not support this verb."""

    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    """None of the accepted media types can be produced."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of that name exists."""

    code, reason = 409, "AlreadyExists"


class Conflict(ApiError):
    """The object changed since it was read, or a precondition does not hold."""

    code, reason = 409, "Conflict"


class Gone(ApiError):
    """The asked resourceVersion is older than the kept history: list again."""

    code, reason = 410, "Expired"


class LengthRequired(ApiError):
    """A body without Content-Length."""

    code, reason = 411, "BadRequest"


class RequestTooLarge(ApiError):
    """The body exceeds the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body's media type is not understood."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object is well-formed but breaks rules; ``causes`` names every one."""

    code, reason = 422, "Invalid"


class TooManyRequests(ApiError):
    """More connections or watches than allowed; retry later."""

    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    """The server failed, for example because its state directory is full."""

    code, reason = 500, "InternalError"


class ServiceUnavailable(ApiError):
    """The server is stopping."""

    code, reason = 503, "ServiceUnavailable"


def qualified(kind_or_plural: str, group: str) -> str:
    """``jobs.batch`` for grouped resources, the bare name for the core group."""
    return f"{kind_or_plural}.{group}" if group else kind_or_plural


def not_found(plural: str, group: str, name: str) -> NotFound:
    """The error for a missing object."""
    return NotFound(f'{qualified(plural, group)} "{name}" not found', _details(name, group, plural))


def already_exists(plural: str, group: str, name: str) -> AlreadyExists:
    """The error for a name that is taken."""
    return AlreadyExists(f'{qualified(plural, group)} "{name}" already exists', _details(name, group, plural))


def conflict(plural: str, group: str, name: str, why: str) -> Conflict:
    """The error for a stale resourceVersion or a failed precondition."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return Conflict(message, _details(name, group, plural))


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> Invalid:
    """The error that lists every broken rule."""
    faults = [f"{cause.field}: {cause.message}" for cause in causes]
    text = faults[0] if len(faults) == 1 else "[" + ", ".join(faults) + "]"
    details = _details(name, group, kind)
    details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return Invalid(f'{qualified(kind, group)} "{name}" is invalid: {text}', details)


def _details(name: str, group: str, kind: str) -> Obj:
    details: Obj = {"name": name, "kind": kind}
    if group:
        details["group"] = group
    return details
