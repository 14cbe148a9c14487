"""A board: the record that a submission is to be shown, and by which visualizer."""

from __future__ import annotations

import re
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from common.domain.errors import BadRequest, Fault
from common.domain.submission import Kind
from common.http.contracts import VisualizingRequest, VisualizingView

BOARD_RECORDS = "board"
"""Kind of the visualizer's records."""
BUILTIN = "builtin"
GRAFANA = ("grafana", "k8s-grafana")
"""Ours, and the original's name for it."""
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
_NEVER_SEEN_FOR = 86400.0


class Board(BaseModel):
    """What was asked for and how far it is. Credentials of the request are never part of it.

    ``published`` means that the visualizer has made what ``url`` shows; ``seen`` that the manager knew the
    submission at least once. ``created_at`` is Unix seconds.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    visualizer: str
    plugin: str = ""
    """What its progress is measured by."""
    name: str = ""
    kind: Kind = Kind.BATCH
    theme: str = ""
    datasource: str = ""
    url: str = ""
    active: bool = True
    published: bool = False
    seen: bool = False
    dropped: bool = False
    """Nothing of the submission is kept any more: the loop removes the board."""
    reason: str = ""
    created_at: float

    @property
    def view(self) -> VisualizingView:
        """What GET answers."""
        return VisualizingView(url=self.url, active=self.active, reason=self.reason)


@runtime_checkable
class Visualizer(Protocol):
    """How submissions are shown; installed under the entry point group ``asperathos.visualizers``.

    ``publish`` and ``withdraw`` are called by the loop, are called again and again, and may raise Unavailable (or
    another of our errors): the loop then tells the reason and tries again. Nothing they do may hold up a submission.
    """

    def url(self, base: str, board: Board) -> str:
        """Where people will see it; known before it is published. ``base`` is the visualizer's own address."""

    def publish(self, board: Board) -> str:
        """Make or update what is shown; returns a remark for the user, usually empty."""

    def withdraw(self, board: Board) -> None:
        """The submission was forgotten: remove what publish made."""


class BuiltinVisualizer:
    """Our own pages: served for every submission, so there is nothing to make and nothing to remove."""

    def url(self, base: str, board: Board) -> str:
        return f"{base}/submissions/{board.id}"

    def publish(self, board: Board) -> str:
        if board.visualizer in GRAFANA:
            return "no Grafana is configured (ASPERATHOS_GRAFANA_URL): the built-in pages are shown instead"
        return ""

    def withdraw(self, board: Board) -> None:
        del board


def checked_id(id: str) -> str:
    """The id if it can be a submission's. Raises BadRequest otherwise."""
    if not _ID.match(id):
        raise BadRequest(
            "the submission's id is not one", [Fault("id", "use letters, digits, dots, dashes; at most 63")]
        )
    return id


def checked_visualizer(made: object) -> Visualizer:
    """The visualizer that an entry point names: a class without arguments. Raises TypeError."""
    visualizer = made() if isinstance(made, type) else made
    if not isinstance(visualizer, Visualizer):
        raise TypeError("a visualizer needs the methods url, publish and withdraw")
    return visualizer


def new_board(id: str, request: VisualizingRequest, now: float) -> Board:
    """The board a request asks for, without its address."""
    wanted = request.enable_visualizer
    return Board(
        id=id,
        visualizer=request.visualizer_plugin,
        plugin=request.plugin,
        name=request.name,
        kind=request.kind,
        theme=request.theme,
        datasource=request.datasource_type,
        active=wanted,
        reason="" if wanted else "not asked for: enable_visualizer is false",
        created_at=now,
    )


def forgotten(board: Board, known: bool, now: float) -> bool:
    """Whether the board has outlived its submission: we were told, or the manager knew it and does so no more, or never
    did."""
    if board.dropped or known:
        return board.dropped
    return board.seen or now - board.created_at > _NEVER_SEEN_FOR
