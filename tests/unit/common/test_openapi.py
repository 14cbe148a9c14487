"""The OpenAPI document of a small table: what is told of a route, and what follows from what it takes and needs."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from common.domain.policy import Need
from common.http.openapi import NOTHING, TEXT, Answer, Body, Parameter, Route, Table, describe


class Given(BaseModel):
    """What is sent."""

    count: Annotated[int, Field(ge=1)] = 1


class Told(TypedDict):
    """What is answered."""

    given: Given


ID = Parameter("id", str, "Whose it is.")
FLAG = Parameter("flag", bool, "Whether.")


def operation(route: Route, need: Need = Need.READ) -> dict[str, Any]:
    """What is told of the one route of a service."""
    document = describe(Table("a-service", "It serves.", (route,), {"id": ID}), "1.2", lambda *_: need)
    found: dict[str, Any] = document["paths"][route.path.replace("<", "{").replace(">", "}")][route.method.lower()]
    return found


@pytest.mark.parametrize(
    ("route", "codes"),
    [
        (Route("GET", "/a", "", {200: Answer("", Told)}), "200 401 403 429 503"),
        (Route("GET", "/a", "", {200: Answer("", Told)}, parameters=(FLAG,)), "200 400 401 403 414 429 503"),
        (Route("GET", "/a/<id>", "", {200: Answer("", Told)}), "200 400 401 403 404 414 429 503"),
        (Route("POST", "/a", "", NOTHING, Body(Given)), "204 400 401 403 413 414 415 429 503"),
        (Route("POST", "/a", "", NOTHING, refusals={409: "It is taken."}), "204 401 403 409 429 503"),
    ],
)
def test_refusals_follow_from_what_a_route_takes(route: Route, codes: str) -> None:
    assert " ".join(operation(route)["responses"]) == codes


@pytest.mark.parametrize(
    ("need", "codes", "security"),
    [
        (Need.PUBLIC, "200", None),
        (Need.POD, "200 401 403 503", [{"token": []}]),
        (Need.ADMIN, "200 401 403 429 503", [{"token": []}, {"password": []}, {}]),
    ],
)
def test_refusals_follow_from_what_a_route_needs(need: Need, codes: str, security: object) -> None:
    told = operation(Route("GET", "/a", "", {200: Answer("", Told)}), need)
    assert " ".join(told["responses"]) == codes
    assert (told["x-need"], told.get("security")) == (need, security)


def test_what_a_route_says_itself_is_not_said_over() -> None:
    missing = Answer("A page that says so.", media=("text/html",))
    told = operation(Route("GET", "/a/<id>", "", {200: Answer("", media=("text/html",)), 404: missing}))
    assert told["responses"]["404"] == {
        "description": "A page that says so.",
        "content": {"text/html": {"schema": {"type": "string"}}},
    }
    taken = operation(Route("POST", "/a", "", NOTHING, refusals={409: "It is taken."}))["responses"]["409"]
    assert taken["description"] == "It is taken."
    assert taken["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorDocument"}


def test_parameters_bodies_and_answers_have_their_forms() -> None:
    route = Route(
        "POST",
        "/a/<id>",
        "Do it",
        {202: Answer("Done.", Told, (TEXT,), {"Location": "Where it is."})},
        Body(Given, required=False, text="A text."),
        (FLAG, Parameter("X-Mark", str, "Ours.", "header", required=True)),
    )
    told = operation(route)
    placed = [(one["name"], one["in"], one["required"]) for one in told["parameters"]]
    assert placed == [("id", "path", True), ("flag", "query", False), ("X-Mark", "header", True)]
    body = told["requestBody"]
    assert not body["required"]
    assert body["content"]["application/yaml"] == {"schema": {"$ref": "#/components/schemas/Given-Input"}}
    assert body["content"]["text/plain"]["schema"]["type"] == "string"
    done = told["responses"]["202"]
    assert list(done["content"]) == ["application/json", "text/plain"]
    assert done["headers"]["Location"]["required"]


def test_what_is_sent_may_lack_what_is_answered_always() -> None:
    route = Route("POST", "/a", "", {200: Answer("", Told)}, Body(Given))
    schemas = describe(Table("a", "", (route,), {}), "1", lambda *_: Need.READ)["components"]["schemas"]
    required = {name: schema.get("required", []) for name, schema in schemas.items() if name.startswith("Given")}
    assert required == {"Given-Input": [], "Given-Output": ["count"]}


def test_the_same_table_gives_the_same_document_in_order_of_paths() -> None:
    routes = tuple(Route(method, path, "", NOTHING) for path in ("/b", "/a") for method in ("DELETE", "PUT"))
    made = [describe(Table("a", "", order, {}), "1", lambda *_: Need.READ) for order in (routes, routes[::-1])]
    assert str(made[0]) == str(made[1])
    assert [path for path in made[0]["paths"] if len(path) == 2] == ["/a", "/b"]
    assert list(made[0]["paths"]["/a"]) == ["put", "delete"]
