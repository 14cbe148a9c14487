"""A report over HTTP: which form is asked for, and the answer in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flask import Request, Response, jsonify

from common.domain.errors import BadRequest, Fault
from manager.reporting.gathering import ReportMaker
from manager.reporting.page import html
from manager.reporting.report import document
from manager.reporting.text import text

_FORMS: Mapping[str, str] = {
    "json": "application/json",
    "html": "text/html",
    "text": "text/plain",
    "csv": "text/csv",
}
_PAGE_ROWS = 600
"""Moments that a page's plots are drawn from, unless told otherwise."""
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Asked:
    """Which report: ``rows`` bounds its series, None is the form's own bound."""

    id: str
    partial: bool
    detailed: bool
    rows: int | None


def wanted_form(request: Request) -> str | None:
    """The form that the request asks for, by ``format`` or by its Accept header; None: the original's answer.

    Raises BadRequest. JSON has to be asked for by ``format``, since clients of the original accept JSON.
    """
    given = request.args.get("format")
    if given is None:
        best = request.accept_mimetypes.best_match(list(_FORMS.values()), _FORMS["json"])
        return next((form for form, kind in _FORMS.items() if kind == best and form != "json"), None)
    if given not in _FORMS:
        problem = f"must be one of {', '.join(_FORMS)}"
        raise BadRequest(f"format {problem}", [Fault("format", problem)])
    return given


def in_form(maker: ReportMaker, form: str, asked: Asked) -> Response:
    """The answer. Raises as the maker does."""
    if form == "csv":
        # One row an item, as they are read.
        response = Response(maker.items(asked.id, asked.partial), mimetype=_FORMS["csv"])
        response.headers["Content-Disposition"] = f'attachment; filename="{asked.id}.csv"'
    elif form == "html":
        response = Response(
            html(maker.report(asked.id, asked.partial, asked.rows or _PAGE_ROWS)), mimetype=_FORMS["html"]
        )
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
    else:
        report = maker.report(asked.id, asked.partial, asked.rows)
        if form == "text":
            response = Response(text(report, asked.detailed), mimetype=_FORMS["text"])
        else:
            response = jsonify(document(report, asked.detailed))
    response.headers["Vary"] = "Accept"
    response.headers["Cache-Control"] = "no-cache"
    return response
