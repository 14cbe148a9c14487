"""The manager's routes as /openapi.json describes them: what each takes and answers. A test holds the url map against
this table, and every answer against what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from common.domain.access import ClusterReport
from common.domain.submission import SubmissionSpec
from common.http.openapi import NOTHING, OPTIONAL_OBJECT, TEXT, Answer, Body, Parameter, Route, Table
from manager.answers import (
    AcceptedAnswer,
    AddedAnswer,
    AuditAnswer,
    ChangedAnswer,
    ClaimAnswer,
    ClusterAnswer,
    ClusterDocument,
    DecisionsAnswer,
    DetailedSeries,
    EventsAnswer,
    ForecastDocument,
    ForgottenAnswer,
    GivenItem,
    GivenItems,
    IssuedToken,
    ItemsAnswer,
    KnownCluster,
    LogAnswer,
    NodesAnswer,
    OutcomesAnswer,
    PastRunsDocument,
    Plan,
    PluginsAnswer,
    ReportDocument,
    ResultsPage,
    Status,
    StillRunning,
    TokensAnswer,
    UserDocument,
    VisualizerAnswer,
    WhoAnswer,
)
from manager.changing import CHANGEABLE
from manager.clusters import NewCertificate, NewCluster
from manager.item_api import ClaimBody, Failed, Finished, Held, OutcomesBody
from manager.payloads import OldPayload
from manager.users import NewPassword, NewToken, NewUser, UserChange

_KINDS: Mapping[str, Parameter] = {
    "id": Parameter("id", str, "The submission's id, as POST answered it."),
    "name": Parameter("name", str, "The cluster's name."),
    "certificate": Parameter("certificate", str, "The certificate's name."),
    "key": Parameter("key", str, "The history's key, as GET /history has it."),
    "user": Parameter("user", str, "The user's name."),
    "token": Parameter("token", str, "The token's id, which is not the token."),
}
_Count = Annotated[int, Field(ge=1, le=5000)]
_Lines = Annotated[int, Field(ge=0, le=1_000_000)]
_ACCEPTED = Answer("Taken in.", AcceptedAnswer, headers={"Location": "Where the submission is."})
_CONFLICT = {409: "It has ended, or is ending."}
_PLAIN = "With `Accept: text/plain` parameters come in the query and the answer is plain text: docs/http-protocol.md."
_WORKER = (
    Parameter("worker", str, "With `Accept: text/plain`: what the worker calls itself."),
    Parameter("index", Annotated[int, Field(ge=0, le=1_000_000)], "... its JOB_COMPLETION_INDEX."),
)
_HELD = (
    *_WORKER,
    Parameter("id", Annotated[str, Field(min_length=1, max_length=256)], "... the item's id."),
    Parameter("attempt", Annotated[int, Field(ge=1)], "... the attempt that holds it."),
)
_AWAY = {409: "Its items are not kept here (any more), or the attempt holds its item no longer."}


def _switch(name: str, about: str) -> Parameter:
    return Parameter(name, bool, about)


_SUBMISSIONS = (
    Route(
        "POST",
        "/submissions",
        "Hand in a submission",
        {202: _ACCEPTED, 200: Answer("What would become of it (dry_run).", Plan)},
        Body(SubmissionSpec | OldPayload),
        (
            _switch("dry_run", "Tell what would become of it; nothing is created."),
            Parameter(
                "Idempotency-Key",
                Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")],
                "The same key with the same document makes one submission, however often it is sent.",
                "header",
            ),
        ),
        {
            409: "It would make deadlines be missed, and ASPERATHOS_ADMISSION is refuse.",
            422: "The key came with another document before.",
            502: "",
        },
        "In the native form, or in that of the original Asperathos. Everything wrong with it is named at once.",
    ),
    Route(
        "GET",
        "/submissions",
        "List submissions",
        {200: Answer("Status objects by id, oldest first.", dict[str, Status])},
        parameters=(
            Parameter("state", str, "Only those in one of these states, separated by commas."),
            Parameter("name", str, "Only those of this name."),
            Parameter("limit", Annotated[int, Field(ge=0, le=100_000)], "Only so many, the youngest."),
            _switch("forecast", "Each with its forecast."),
        ),
    ),
    Route("DELETE", "/submissions", "Forget all that have ended", NOTHING, OPTIONAL_OBJECT),
    Route(
        "GET",
        "/submissions/<id>",
        "Status of a submission",
        {200: Answer("Its status.", Status)},
        parameters=(_switch("spec", "With its specification."),),
    ),
    Route(
        "PATCH",
        "/submissions/<id>",
        "Change it while it runs",
        {200: Answer("What changed.", ChangedAnswer)},
        Body(dict[Literal["deadline", "target", "replicas", "control", "priority", "expected_item_time"], Any]),
        refusals=_CONFLICT,
        about=f"A JSON merge patch of the native document: {', '.join(CHANGEABLE)} may change.",
    ),
    Route(
        "DELETE",
        "/submissions/<id>",
        "Forget it",
        NOTHING,
        OPTIONAL_OBJECT,
        refusals={409: "It has not ended."},
    ),
    Route("PUT", "/submissions/<id>/stop", "Stop it gracefully", NOTHING, OPTIONAL_OBJECT),
    Route("PUT", "/submissions/<id>/terminate", "End it at once", NOTHING, OPTIONAL_OBJECT),
    Route(
        "POST",
        "/submissions/<id>/retry",
        "Try its dead items again, as a new submission",
        {202: _ACCEPTED},
        OPTIONAL_OBJECT,
        refusals={409: "It still runs, or nothing of it is dead or kept."},
    ),
)

_READING = (
    Route(
        "GET",
        "/submissions/<id>/forecast",
        "When it will end, and at what cost",
        {200: Answer("What is expected; of one that has ended, what was.", ForecastDocument)},
    ),
    Route(
        "GET",
        "/submissions/<id>/log",
        "Logs of its replicas",
        {200: Answer("All logs; a stream of text with follow=true.", LogAnswer, (TEXT,))},
        parameters=(
            Parameter("pod", str, "Only of this pod."),
            Parameter("tail", _Lines, "Only so many lines of each, the last."),
            _switch("follow", "As they are written, until it ends or an hour has passed."),
        ),
    ),
    Route(
        "GET",
        "/submissions/<id>/report",
        "Its report",
        {
            200: Answer(
                "Without format the original's answer; with it, the report in that form.",
                StillRunning | ReportDocument | DetailedSeries,
                ("text/html", TEXT, "text/csv"),
            )
        },
        parameters=(
            Parameter(
                "format",
                Literal["json", "html", "text", "csv"],
                "The report in this form; `Accept: text/html`, `text/plain` and `text/csv` ask for it too.",
            ),
            _switch("partial", "With format: what there is so far, of one that has not ended."),
            _switch("detailed", "With format json or text: series, decisions, events and specification too."),
            Parameter("rows", Annotated[int, Field(ge=2, le=1_000_000)], "With format: most rows of the series."),
        ),
        refusals={409: "With format: it has not ended."},
    ),
    Route("GET", "/submissions/<id>/errors", "What went wrong", {200: Answer("Lines.", list[str])}),
    Route(
        "GET",
        "/submissions/<id>/results",
        "Results, in order of completion",
        {200: Answer("A page; all of them, one a line, with format=jsonl.", ResultsPage, ("application/jsonl",))},
        parameters=(
            Parameter("format", Literal["json", "jsonl"], "A page, or all of them, one a line."),
            Parameter("cursor", Annotated[int, Field(ge=0, le=2**53)], "Where to go on: as the last page told."),
            Parameter("count", Annotated[int, Field(ge=1, le=10_000)], "Most results of the page."),
        ),
    ),
    Route(
        "GET",
        "/submissions/<id>/events",
        "Its story",
        {200: Answer("Oldest first.", EventsAnswer)},
        parameters=(Parameter("count", _Count, "Most events, the latest."),),
    ),
    Route(
        "GET",
        "/submissions/<id>/decisions",
        "Decisions on its replicas",
        {200: Answer("Oldest first.", DecisionsAnswer)},
        parameters=(Parameter("count", _Count, "Most decisions, the latest."),),
    ),
    Route(
        "GET",
        "/submissions/<id>/visualizer",
        "Address of its dashboard",
        {200: Answer("The address.", VisualizerAnswer)},
    ),
)

_ITEMS = (
    Route(
        "GET",
        "/submissions/<id>/items",
        "Where its items are",
        {200: Answer("The named items; how many are where, when none is named.", ItemsAnswer)},
        parameters=(
            Parameter("ids", str, "Ids, separated by commas."),
            Parameter("id", str, "One id, which may hold a comma; may be given again and again."),
        ),
    ),
    Route(
        "POST",
        "/submissions/<id>/items",
        "Put items into a stream",
        {202: Answer("They are queued.", AddedAnswer)},
        Body(GivenItems | list[str | GivenItem]),
        refusals={409: "It is a batch, or takes no more items."},
    ),
    Route(
        "POST",
        "/submissions/<id>/items/claim",
        "Take items to work on",
        {200: Answer("What to do.", ClaimAnswer, (TEXT,))},
        Body(ClaimBody, required=False),
        (
            *_WORKER,
            Parameter("wait", Annotated[float, Field(ge=0, le=60)], "... seconds to wait for an item."),
        ),
        _AWAY,
        _PLAIN,
    ),
    Route(
        "POST",
        "/submissions/<id>/items/complete",
        "Hand in results",
        {200: Answer("Which were accepted.", OutcomesAnswer, (TEXT,))},
        Body(OutcomesBody[Finished], text="The result, with `Accept: text/plain`."),
        _HELD,
        _AWAY,
        _PLAIN,
    ),
    Route(
        "POST",
        "/submissions/<id>/items/fail",
        "Report failed attempts",
        {200: Answer("Which still held their item.", OutcomesAnswer, (TEXT,))},
        Body(OutcomesBody[Failed], text="The error, with `Accept: text/plain`."),
        (*_HELD, _switch("permanent", "... not to be tried again.")),
        _AWAY,
        _PLAIN,
    ),
    Route(
        "POST",
        "/submissions/<id>/items/release",
        "Hand items back unharmed",
        {200: Answer("Which were still held.", OutcomesAnswer, (TEXT,))},
        Body(OutcomesBody[Held]),
        _HELD,
        _AWAY,
        _PLAIN,
    ),
    Route(
        "POST",
        "/submissions/<id>/items/extend",
        "Extend leases",
        {200: Answer("Which are still held.", OutcomesAnswer, (TEXT,))},
        Body(OutcomesBody[Held]),
        _HELD,
        _AWAY,
        _PLAIN,
    ),
)

_CLUSTERS = (
    Route(
        "POST",
        "/submissions/cluster",
        "Add a cluster, or renew its kubeconfig",
        {202: Answer("It is known.", KnownCluster)},
        Body(NewCluster),
        refusals={409: "The name is taken."},
    ),
    Route(
        "GET",
        "/submissions/cluster",
        "All clusters",
        {200: Answer("By name; nothing secret is shown.", dict[str, ClusterDocument])},
    ),
    Route(
        "GET",
        "/submissions/cluster/activate",
        "The cluster of submissions that name none",
        {200: Answer("By name.", dict[str, ClusterDocument])},
    ),
    Route(
        "PUT",
        "/submissions/cluster/<name>/activate",
        "Have submissions that name none run there",
        {200: Answer("So it is.", ClusterAnswer)},
        OPTIONAL_OBJECT,
    ),
    Route(
        "DELETE",
        "/submissions/cluster/<name>",
        "Forget a cluster",
        NOTHING,
        OPTIONAL_OBJECT,
        refusals={409: "It is used, or the one of the settings."},
    ),
    Route(
        "POST",
        "/submissions/cluster/<name>/certificate",
        "Keep a file that its kubeconfig refers to",
        {202: Answer("It is kept.", KnownCluster)},
        Body(NewCertificate),
        refusals={409: "It has too many, or is the cluster of the settings."},
    ),
    Route(
        "DELETE",
        "/submissions/cluster/<name>/certificate/<certificate>",
        "Forget such a file",
        {202: Answer("It is forgotten.", ClusterAnswer)},
        OPTIONAL_OBJECT,
        refusals={409: "It is the cluster of the settings."},
    ),
    Route(
        "GET",
        "/cluster/check",
        "What the services lack in their clusters",
        {200: Answer("All findings.", ClusterReport)},
    ),
    Route(
        "POST",
        "/cluster/check",
        "The same, with a pod that looks whether it reaches what workers need",
        {200: Answer("All findings.", ClusterReport)},
    ),
    Route(
        "GET",
        "/nodes",
        "A cluster's nodes",
        {200: Answer("The nodes.", NodesAnswer)},
        parameters=(Parameter("cluster", str, "The cluster; the active one when absent."),),
        refusals={404: "There is no such cluster.", 502: ""},
    ),
)

_HISTORY = (
    Route(
        "GET",
        "/history",
        "What earlier submissions taught",
        {200: Answer("By key.", dict[str, PastRunsDocument])},
    ),
    Route("DELETE", "/history", "Forget all of it", {200: Answer("How many.", ForgottenAnswer)}, OPTIONAL_OBJECT),
    Route("GET", "/history/<key>", "Of one name and image", {200: Answer("What they taught.", PastRunsDocument)}),
    Route("DELETE", "/history/<key>", "Forget it", NOTHING, OPTIONAL_OBJECT),
)

_USERS = (
    Route("GET", "/whoami", "Who asks", {200: Answer("The user.", WhoAnswer)}),
    Route("GET", "/users", "All users", {200: Answer("By name.", dict[str, UserDocument])}),
    Route(
        "POST",
        "/users",
        "Add a user",
        {201: Answer("The new user.", UserDocument, headers={"Location": "Where the user is."})},
        Body(NewUser),
        refusals={409: "The name is taken, or there are too many."},
    ),
    Route("GET", "/users/<user>", "A user", {200: Answer("The user.", UserDocument)}),
    Route(
        "PATCH",
        "/users/<user>",
        "Change role or quota",
        {200: Answer("The user as it is now.", UserDocument)},
        Body(UserChange),
        refusals={409: "Somebody else changed it meanwhile."},
    ),
    Route("DELETE", "/users/<user>", "Remove a user, with all tokens", NOTHING, OPTIONAL_OBJECT),
    Route(
        "PUT",
        "/users/<user>/password",
        "Set the password",
        NOTHING,
        Body(NewPassword),
        refusals={409: "Somebody else changed it meanwhile."},
    ),
    Route("GET", "/users/<user>/tokens", "A user's tokens", {200: Answer("Without what they are.", TokensAnswer)}),
    Route(
        "POST",
        "/users/<user>/tokens",
        "Issue a token",
        {201: Answer("The token, told this once.", IssuedToken)},
        Body(NewToken),
        refusals={409: "There are too many."},
    ),
    Route("DELETE", "/users/<user>/tokens/<token>", "Revoke a token", NOTHING, OPTIONAL_OBJECT),
    Route(
        "GET",
        "/audit",
        "Who changed what",
        {200: Answer("Oldest first.", AuditAnswer)},
        parameters=(
            Parameter("count", Annotated[int, Field(ge=1, le=10_000)], "Most entries looked at, the latest."),
            _switch("refused", "What strangers tried, instead."),
            Parameter("who", str, "Only of this user."),
            Parameter("subject", str, "Only about this submission, user or cluster."),
        ),
    ),
)

TABLE = Table(
    "manager",
    "Takes submissions and sees each through its life.",
    (
        *_SUBMISSIONS,
        *_READING,
        *_ITEMS,
        *_CLUSTERS,
        *_HISTORY,
        *_USERS,
        Route("GET", "/plugins", "Installed plugins", {200: Answer("All components.", PluginsAnswer)}),
    ),
    _KINDS,
)
