"""The app factory: error envelope, request ids, body limits, health and metrics for every service."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import structlog
from flask import Flask, Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from common.clock import SystemClock
from common.domain.errors import AsperathosError, TooLarge, TooManyRequests, Unauthorized
from common.http.telemetry import Telemetry
from common.logging import get_logger
from common.ports import Clock

log = get_logger(__name__)
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of answers that name none of their own: data, which no page is to embed and nobody on the way to keep."""
_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


@dataclass(frozen=True)
class AppSettings:
    """What the factory needs: the service's name, body limit (bytes), its version.

    ``checks`` are the readiness probes by name; each raises when the thing it looks at does not answer.
    """

    service: str
    max_body: int
    version: str
    secure: bool = False
    """Whether it is served with TLS by ourselves: browsers are told to come with TLS only."""
    proxies: int = 0
    """Proxies in front of it whose word on addresses is believed."""
    checks: Mapping[str, Callable[[], object]] = field(default_factory=dict)


class _StripJsonSuffix:
    """The original answers every route with ``.json`` appended too."""

    def __init__(self, wsgi: Callable[[WSGIEnvironment, StartResponse], Any]) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        path = environ.get("PATH_INFO", "")
        if path.endswith(".json") and path != "/openapi.json":
            environ["PATH_INFO"] = path[: -len(".json")]
        return self._wsgi(environ, start_response)


def create_app(settings: AppSettings, telemetry: Telemetry, clock: Clock | None = None) -> Flask:
    """A Flask app with everything services share; the caller registers its routes."""
    app = Flask(settings.service, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.strict_slashes = False
    app.wsgi_app = _StripJsonSuffix(app.wsgi_app)  # type: ignore[method-assign]
    if settings.proxies:
        count = settings.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    _register_request_context(app, settings, telemetry, clock or SystemClock())
    _register_errors(app)
    _register_health(app, settings, telemetry)
    return app


def error_response(status: int, name: str, message: str, details: list[dict[str, str]] | None = None) -> Response:
    """The error envelope."""
    body: dict[str, Any] = {
        "error_code": status,
        "error_name": name,
        "error_message": message,
        "details": details or [],
        "request_id": g.get("request_id", ""),
    }
    return Response(json.dumps(body), status=status, mimetype="application/json")


def answer_to(error: AsperathosError) -> Response:
    """What a request that raised one of our errors is answered with."""
    if error.status >= 500:
        log.warning("request_failed", error=error.message, path=request.path)
    details = [{"field": fault.field, "problem": fault.problem} for fault in error.faults]
    response = error_response(error.status, error.name, error.message, details)
    if error.status == 503:
        response.headers["Retry-After"] = "2"
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, Unauthorized):
        # Not Basic: browsers would ask in a window of their own.
        response.headers["WWW-Authenticate"] = 'Bearer realm="asperathos"'
    return response


def _register_request_context(app: Flask, settings: AppSettings, telemetry: Telemetry, clock: Clock) -> None:
    @app.before_request
    def begin() -> None:
        shown = request.headers.get("X-Request-Id", "")
        g.request_id = shown if _REQUEST_ID.match(shown) else uuid.uuid4().hex
        g.began = clock.monotonic()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def finish(response: Response) -> Response:
        took = clock.monotonic() - g.began
        route = str(request.url_rule) if request.url_rule else "unmatched"
        telemetry.requests.labels(settings.service, request.method, route, str(response.status_code)).observe(took)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        if settings.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        if request.path not in _QUIET_PATHS:
            log.debug("request", method=request.method, path=request.path, code=response.status_code, seconds=took)
        return response

    @app.teardown_request
    def unbind(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id")


def _register_errors(app: Flask) -> None:
    app.register_error_handler(AsperathosError, answer_to)

    @app.errorhandler(HTTPException)
    def werkzeugs(error: HTTPException) -> Response:
        status = error.code or 500
        name = (error.name or "error").upper().replace(" ", "_")
        message = error.description or name
        if status == TooLarge.status:
            name = TooLarge.name
            message = f"the body is larger than {app.config['MAX_CONTENT_LENGTH']} bytes"
        response = error_response(status, name, message)
        if status == 405 and getattr(error, "valid_methods", None):
            response.headers["Allow"] = ", ".join(error.valid_methods)  # type: ignore[attr-defined]
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.error("request_crashed", path=request.path, exc_info=error)
        return error_response(500, "INTERNAL_SERVER_ERROR", "an unexpected error; the request id is in our log")


def _register_health(app: Flask, settings: AppSettings, telemetry: Telemetry) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        return jsonify("OK")

    @app.get("/readyz")
    def readyz() -> tuple[Response, int]:
        broken = {}
        for name, check in settings.checks.items():
            try:
                check()
            except AsperathosError as error:
                broken[name] = error.message
        return jsonify({"ready": not broken, "broken": broken}), 503 if broken else 200

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(telemetry.exposition(), content_type=CONTENT_TYPE_LATEST)
