"""watch and top on real terminals of several widths, in pipes and in logs."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from tests.support.scripted_manager import ScriptedManager
from tests.support.terminal import COMMAND, Terminal

ID = "kj-0000001"
STATUS: dict[str, Any] = {
    "id": ID,
    "name": "a-rather-long-name-of-a-submission-x",
    "state": "ongoing",
    "progress": 0.5,
    "time_progress": 0.25,
    "deadline": 100.0,
    "elapsed": 25.0,
    "eta": 20.0,
    "throughput": 1.25,
    "counts": {"total": 10, "done": 4, "dead": 1, "leased": 3},
    "replicas": {"observed": 3},
    "reason": "because of something that takes more words to tell than any narrow terminal has room for \x1b[31m",
    "forecast": {"chance": 0.97},
}
HIDE, SHOW, OTHER_SCREEN, BACK = "\x1b[?25l", "\x1b[?25h", "\x1b[?1049h", "\x1b[?1049l"
Door = Callable[..., ScriptedManager]


@pytest.fixture
def door() -> Iterator[Door]:
    """Makes a manager that tells one status after the other; the last one again and again."""
    managers: list[ScriptedManager] = []

    def made(*statuses: dict[str, Any] | int) -> ScriptedManager:
        told = itertools.chain(statuses, itertools.repeat(statuses[-1]))

        def one() -> tuple[int, Any]:
            status = next(told)
            if isinstance(status, int):
                return status, {"error_message": "away"}
            return 200, {**status, "observed_at": len(manager.asked)}

        def refused() -> tuple[int, Any]:
            return (statuses[0] if isinstance(statuses[0], int) else 404), {"error_message": "not for you"}

        def listing() -> tuple[int, Any]:
            status, document = one()
            return status, {ID: document} if status == 200 else document

        manager = ScriptedManager(
            {f"/submissions/{ID}": one, f"/submissions/{ID}/report": refused, "/submissions": listing}
        )
        managers.append(manager)
        return manager

    yield made
    for manager in managers:
        manager.stop()


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def made(*arguments: str, **settings: Any) -> Terminal:
        opened.append(Terminal(*arguments, **settings))
        return opened[-1]

    yield made
    for each in opened:
        each.close()


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("command", [("watch", ID), ("top",)])
def test_no_line_is_wider_than_the_terminal(
    door: Door, terminal: Callable[..., Terminal], columns: int, command: tuple[str, ...]
) -> None:
    shown = terminal(*command, "--manager", door(STATUS).url, columns=columns)
    shown.until(lambda written: written.count("50 %") >= 2)
    assert max(map(len, shown.lines())) <= columns
    assert OTHER_SCREEN in shown.written and HIDE in shown.written
    shown.press("\x03")
    assert shown.end() == 130
    assert shown.written.rindex(BACK) > shown.written.rindex(OTHER_SCREEN)
    assert shown.written.rindex(SHOW) > shown.written.rindex(HIDE)


def test_another_size_is_another_picture(door: Door, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("top", "--interval", "0.3", "--manager", door(STATUS).url, columns=120)
    shown.until(lambda written: "chance" in written)
    shown.resize(40, 10)
    place = len(shown.written)
    shown.until(lambda written: written[place:].count("repl") >= 3)
    latest = shown.written.rindex("repl", 0, shown.written.rindex("repl"))
    assert max(map(len, shown.lines(latest))) <= 40


def test_watch_ends_with_the_submission_and_leaves_the_last_picture(
    door: Door, terminal: Callable[..., Terminal]
) -> None:
    late = {**STATUS, "state": "completed", "progress": 1.0, "deadline_met": False, "deadline_margin": -5.0}
    shown = terminal("watch", ID, "--interval", "0.1", "--manager", door(STATUS, STATUS, late).url, columns=60)
    assert shown.end() == 3
    left = "\n".join(shown.lines(shown.written.rindex(BACK)))
    assert "100 %" in left and "missed by 5s" in left
    assert "\x1b[31m" not in left


def test_a_silent_manager_is_told_of_and_waited_for(door: Door, terminal: Callable[..., Terminal]) -> None:
    done = {**STATUS, "state": "completed", "deadline_met": True, "deadline_margin": 5.0}
    manager = door(STATUS, *[503] * 12, done)
    shown = terminal("watch", ID, "--interval", "0.1", "--manager", manager.url, columns=60)
    assert shown.end() == 0
    assert "no answer for" in shown.written


def test_keys_sort_and_leave(door: Door, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("top", "--manager", door(STATUS).url, columns=100)
    shown.until(lambda written: "by deadline" in written)
    shown.press("s")
    shown.until(lambda written: "by chance" in written)
    shown.press("r")
    shown.until(lambda written: "by chance reversed" in written)
    shown.press("q")
    assert shown.end() == 0


@pytest.mark.parametrize("environment", [{"CI": "true"}, {"TERM": "dumb"}])
def test_a_log_gets_lines(door: Door, terminal: Callable[..., Terminal], environment: dict[str, str]) -> None:
    done = {**STATUS, "state": "failed", "reason": ""}
    manager = door(STATUS, STATUS, done)
    shown = terminal("watch", ID, "--interval", "0.1", "--manager", manager.url, columns=80, **environment)
    assert shown.end() == 1
    for code in (HIDE, OTHER_SCREEN, "\x1b[2K", "\x1b[1A"):
        assert code not in shown.written


def test_without_colours_there_are_none(door: Door, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("top", "-n", "2", "--interval", "0.2", "--manager", door(STATUS).url, columns=80, NO_COLOR="1")
    assert shown.end() == 0
    assert "\x1b[3" not in shown.written and "50 %" in shown.written


def piped(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONUTF8": "1"}
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=30, env=environment, check=False
    )


def test_a_pipe_gets_plain_lines(door: Door) -> None:
    done = {**STATUS, "state": "completed", "deadline_met": True, "deadline_margin": 5.0}
    watched = piped("watch", ID, "--interval", "0.1", "--manager", door(STATUS, 503, 503, done).url)
    assert watched.returncode == 0
    assert "\x1b" not in watched.stdout and "\r" not in watched.stdout
    assert "ongoing" in watched.stdout and "completed" in watched.stdout
    assert "trying again" in watched.stderr and "answers again" in watched.stderr
    topped = piped("top", "-n", "2", "--interval", "0.2", "--manager", door(STATUS).url)
    assert (topped.returncode, topped.stdout.count(ID)) == (0, 2)
    assert "\x1b" not in topped.stdout


def test_a_script_gets_json_by_the_line(door: Door) -> None:
    done = {**STATUS, "state": "completed"}
    assert (
        piped("watch", ID, "--json", "--interval", "0.1", "--manager", door(STATUS, done).url).stdout.count("\n") == 2
    )
    assert piped("top", "--json", "-n", "2", "--interval", "0.2", "--manager", door(STATUS).url).stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("watch", "kj-0000009"), 4, "no such thing"),
        (("watch", "not an id"), 2, "asperathos list"),
        (("report", "a/../b"), 2, "asperathos list"),
        (("top", "--sort", "beauty"), 2, "beauty"),
        (("compare", ID), 2, "2 to 50"),
        (("report", ID, "--format", "pdf"), 2, "pdf"),
    ],
)
def test_what_is_refused_says_why(door: Door, arguments: tuple[str, ...], code: int, word: str) -> None:
    answer = CliRunner().invoke(main, [*arguments, "--manager", door(STATUS).url])
    assert (answer.exit_code, word in answer.stderr) == (code, True), answer.stderr


@pytest.mark.parametrize("command", [("top",), ("watch", ID), ("report", ID), ("compare", ID, "kj-0000002")])
def test_a_manager_that_was_never_there_is_told_of(command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(main, [*command, "--manager", "http://127.0.0.1:1"])
    assert (answer.exit_code, "asperathos up" in answer.stderr) == (5, True)


def test_who_is_not_allowed_is_told_so(door: Door) -> None:
    answer = CliRunner().invoke(main, ["report", ID, "--manager", door(401).url])
    hint = "'asperathos login' keeps a token; --token and $ASPERATHOS_TOKEN give one"
    assert (answer.exit_code, answer.stderr) == (4, f"not for you\n{hint}\n")
