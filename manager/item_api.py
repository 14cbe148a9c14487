"""The routes for workers that have only HTTP: claim, complete, fail, release, extend. See docs/http-protocol.md.

Each has two forms: JSON, for up to MOST_ITEMS items a request, and, with ``Accept: text/plain``, one for shells: one
item, parameters in the query, the result or error as the body, the answer to be read without a parser.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import quote

from asperathos_worker.queue.records import Taken
from flask import Flask, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field

from common.domain.errors import BadRequest, Conflict, Fault
from common.domain.parsing import examine
from common.http.body import read_optional_document
from manager.item_desk import MOST_ITEMS, ItemDesk, Outcome, Taker
from manager.item_tokens import ItemTokens

M = TypeVar("M", bound=BaseModel)
_NUMBERS = frozenset({"index", "attempt", "count"})
_LONGEST_WAIT = 60.0
_Name = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,253}$")]
_Id = Annotated[str, Field(min_length=1, max_length=256)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class _TakerBody(_Body):
    worker: _Name = "http"
    index: int = Field(default=0, ge=0, le=1_000_000)

    @property
    def taker(self) -> Taker:
        return Taker(self.worker, self.index)


class ClaimBody(_TakerBody):
    count: int = Field(default=1, ge=1, le=MOST_ITEMS)
    wait: float = Field(default=0.0, ge=0, le=_LONGEST_WAIT)


class Held(_Body):
    id: _Id
    attempt: int = Field(ge=1)

    def outcome(self) -> Outcome:
        return Outcome(self.id, self.attempt)


H = TypeVar("H", bound=Held)


class Finished(Held):
    result: str = ""

    def outcome(self) -> Outcome:
        return Outcome(self.id, self.attempt, self.result)


class Failed(Held):
    error: str = ""
    permanent: bool = False

    def outcome(self) -> Outcome:
        return Outcome(self.id, self.attempt, self.error, self.permanent)


class OutcomesBody(_TakerBody, Generic[H]):
    items: list[H] = Field(min_length=1, max_length=MOST_ITEMS)


@dataclass(frozen=True)
class _Deed:
    """What a worker may say about attempts. ``text`` names the field that is the body of the plain form."""

    name: str
    body: type[OutcomesBody[Any]]
    item: type[Held]
    do: Callable[[str, Taker, Sequence[Outcome]], list[bool]]
    text: str = ""


def register_items(app: Flask, desk: ItemDesk, tokens: ItemTokens) -> None:
    """Add the routes to the app."""

    @app.post("/submissions/<id>/items/claim")
    def claim_items(id: str) -> Response:
        tokens.check(id, request.headers.get("Authorization", ""))
        if _is_plain():
            asked = _examined(_plain_fields("worker", "index", "wait"), ClaimBody)
            return _plain_items(desk.claim(id, asked.taker, 1, asked.wait))
        asked = _examined(_document(), ClaimBody)
        return _items(desk.claim(id, asked.taker, asked.count, asked.wait))

    for deed in (
        _Deed("complete", OutcomesBody[Finished], Finished, desk.complete, text="result"),
        _Deed("fail", OutcomesBody[Failed], Failed, desk.fail, text="error"),
        _Deed("release", OutcomesBody[Held], Held, desk.release),
        _Deed("extend", OutcomesBody[Held], Held, desk.extend),
    ):
        app.add_url_rule(
            f"/submissions/<id>/items/{deed.name}", f"items_{deed.name}", _route(deed, tokens), methods=["POST"]
        )


def _route(deed: _Deed, tokens: ItemTokens) -> Callable[[str], Response]:
    def say(id: str) -> Response:
        tokens.check(id, request.headers.get("Authorization", ""))
        is_plain = _is_plain()
        body = _examined(_plain_document(deed) if is_plain else _document(), deed.body)
        outcomes = [held.outcome() for held in body.items]
        accepted = deed.do(id, body.taker, outcomes)
        if is_plain:
            return _plain_verdict(outcomes[0], accepted[0])
        told = [
            {"id": outcome.id, "attempt": outcome.attempt, "accepted": is_accepted}
            for outcome, is_accepted in zip(outcomes, accepted, strict=True)
        ]
        return jsonify({"items": told})

    return say


def _is_plain() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/plain"]) == "text/plain"


def _document() -> dict[str, Any]:
    document = read_optional_document(request)
    if not isinstance(document, dict):
        raise BadRequest("the body must be an object", [Fault("body", "must be an object")])
    return document


def _examined(document: dict[str, Any], model: type[M]) -> M:
    body, faults = examine(document, model)
    if body is None:
        told = "; ".join(f"{fault.field}: {fault.problem}" for fault in faults)
        raise BadRequest(f"invalid body: {told}", faults)
    return body


def _plain_fields(*known: str) -> dict[str, Any]:
    """The query as the fields of a body. Raises BadRequest for a parameter that is none of the known."""
    unknown = [Fault(name[:80], f"unknown parameter; known here are {', '.join(known)}") for name in request.args]
    unknown = [fault for fault in unknown if fault.field not in known]
    if unknown:
        raise BadRequest(f"unknown parameter {unknown[0].field!r}", unknown)
    return {name: _plain_value(name, request.args[name]) for name in known if name in request.args}


def _plain_value(name: str, given: str) -> str | int | float | bool:
    """A parameter as a body would hold it; left as text, and so refused, where it cannot be that."""
    if name == "permanent" and given in ("true", "false"):
        return given == "true"
    if name in _NUMBERS and given.isascii() and given.isdigit() and len(given) <= 16:
        return int(given)
    if name == "wait":
        try:
            return float(given)
        except ValueError:
            return given
    return given


def _plain_document(deed: _Deed) -> dict[str, Any]:
    of_item = tuple(name for name in deed.item.model_fields if name != deed.text)
    fields = _plain_fields("worker", "index", *of_item)
    item = {name: fields.pop(name) for name in of_item if name in fields}
    if deed.text:
        item[deed.text] = request.get_data().decode(errors="replace").rstrip("\r\n")
    return {**fields, "items": [item]}


def _items(taken: Taken) -> Response:
    items = [
        {"id": lease.id, "payload": lease.payload, "attempt": lease.attempt, "failures": lease.failures}
        for lease in taken.leases
    ]
    return jsonify({"verdict": taken.verdict.value, "lease_seconds": taken.lease_seconds, "items": items})


def _plain_items(taken: Taken) -> Response:
    """``items ATTEMPT LEASE ID`` and, from the second line to the end, the item as it is; or the verdict alone."""
    if not taken.leases:
        return Response(f"{taken.verdict.value}\n", mimetype="text/plain")
    lease = taken.leases[0]
    head = f"{taken.verdict.value} {lease.attempt} {max(1, int(taken.lease_seconds))} {quote(lease.id, safe='')}\n"
    return Response(head + lease.payload, mimetype="text/plain")


def _plain_verdict(outcome: Outcome, is_accepted: bool) -> Response:
    if not is_accepted:
        raise Conflict(f"attempt {outcome.attempt} of item {json.dumps(outcome.id)} holds it no longer")
    return Response("accepted\n", mimetype="text/plain")
