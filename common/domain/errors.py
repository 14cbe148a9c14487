"""The one error tree. Every leaf says which HTTP status the user sees and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an input: the path of the field (``replicas.max``) and what to do about it."""

    field: str
    problem: str


class AsperathosError(Exception):
    """Root of all errors the suite raises on purpose. ``message`` is written for the user."""

    status = 500
    name = "INTERNAL_SERVER_ERROR"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)


class BadRequest(AsperathosError):
    """The request cannot be understood: not JSON, a wrong type, a bad parameter."""

    status = 400
    name = "BAD_REQUEST"


class InvalidSubmission(BadRequest):
    """The submission document is wrong; ``faults`` lists every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        listed = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        super().__init__(f"invalid submission: {listed}", faults)


class Unauthorized(AsperathosError):
    """No or wrong credentials."""

    status = 401
    name = "UNAUTHORIZED"


class Forbidden(AsperathosError):
    """The credentials do not allow this."""

    status = 403
    name = "FORBIDDEN"


class NotFound(AsperathosError):
    """There is nothing by that name."""

    status = 404
    name = "NOT_FOUND"


class Conflict(AsperathosError):
    """The request contradicts the present state, or somebody changed the record meanwhile."""

    status = 409
    name = "CONFLICT"


class KeyReused(AsperathosError):
    """An Idempotency-Key came with another body than before."""

    status = 422
    name = "UNPROCESSABLE_ENTITY"


class TooLarge(AsperathosError):
    """The body or an item exceeds the limit named in the message."""

    status = 413
    name = "PAYLOAD_TOO_LARGE"


class UnsupportedMedia(AsperathosError):
    """The content type is neither JSON nor YAML."""

    status = 415
    name = "UNSUPPORTED_MEDIA_TYPE"


class TooManyRequests(AsperathosError):
    """Too much was asked for; ``retry_after`` (seconds) says when to come again."""

    status = 429
    name = "TOO_MANY_REQUESTS"

    def __init__(self, message: str, retry_after: float, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message, faults)
        self.retry_after = retry_after


class Unavailable(AsperathosError):
    """Something we depend on (Redis, the cluster, another service) does not answer; trying again may help."""

    status = 503
    name = "SERVICE_UNAVAILABLE"


class ClusterError(AsperathosError):
    """The cluster refused a request; ``reason`` is Kubernetes' reason (``Forbidden``, ``Invalid``, ...)."""

    status = 502
    name = "CLUSTER_ERROR"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class WorkloadError(AsperathosError):
    """The workload cannot be read: unreachable, wrong status, not UTF-8, a line too long."""

    status = 400
    name = "BAD_WORKLOAD"
