"""Laws by name, their settings, and plugins that do not work."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from common.domain.errors import BadRequest
from common.plugins import COMPONENTS, LAWS, list_plugins, load_plugins
from controller.lawbook import LawBook, check_law, read_laws
from controller.laws.fixed import Nop
from controller.laws.pid import Pid

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, LAWS)


def book(*entries: EntryPoint) -> LawBook:
    plugins = load_plugins(LAWS, check_law, entries)
    return LawBook(plugins.found, plugins.infos)


@pytest.fixture(scope="module")
def ours() -> LawBook:
    return book(*(entry(name, value) for name, value in PROJECT["entry-points"][LAWS].items()))


def test_all_of_ours_can_be_loaded(ours: LawBook) -> None:
    names = {"deadline", "default", "latency", "nop", "pid", "scripted", "threshold"}
    assert names <= set(ours.laws)
    assert [info for info in ours.infos if info.problem] == []


def test_what_is_installed_here_is_what_the_project_declares(ours: LawBook) -> None:
    assert set(ours.laws) <= set(read_laws().laws)


def test_an_unknown_law_is_named_with_the_nearest(ours: LawBook) -> None:
    with pytest.raises(BadRequest) as caught:
        ours.settings("deadlin", {})
    assert [(fault.field, "deadline" in fault.problem) for fault in caught.value.faults] == [("control.law", True)]
    with pytest.raises(BadRequest, match=r"installed are .*threshold"):
        ours.law("zzzzzz")


def test_bad_settings_are_named_by_their_path_all_at_once(ours: LawBook) -> None:
    with pytest.raises(BadRequest) as caught:
        ours.settings("threshold", {"trigger_up": -1, "trigger_dwn": 1, "actuation_size": "many"})
    problems = {fault.field: fault.problem for fault in caught.value.faults}
    assert set(problems) == {
        "control.settings.trigger_up",
        "control.settings.trigger_dwn",
        "control.settings.actuation_size",
    }
    assert "did you mean trigger_down" in problems["control.settings.trigger_dwn"]


def test_a_law_without_settings_takes_none(ours: LawBook) -> None:
    assert ours.settings("nop", {}) is not None
    with pytest.raises(BadRequest, match=r"control\.settings\.x"):
        ours.settings("nop", {"x": 1})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("no_such_module_here:Law", "ModuleNotFoundError"),
        ("controller.laws.fixed:NoSuchLaw", "AttributeError"),
        ("controller.laws.fixed:ScriptedSettings", "TypeError"),
        ("math:pi", "TypeError"),
        ("controller.laws:Law", "TypeError"),
    ],
)
def test_a_broken_plugin_is_reported_by_name_and_left_out(value: str, problem: str) -> None:
    found = book(entry("mine", value), entry("nop", "controller.laws.fixed:Nop"))
    assert set(found.laws) == {"nop"}
    (broken,) = [info for info in found.infos if info.problem]
    assert broken.name == "mine"
    assert problem in broken.problem
    assert problem in found.describe()["mine"]["problem"]
    with pytest.raises(BadRequest, match="installed but broken"):
        found.law("mine")


def test_a_plugin_that_raises_anything_at_import_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin_that_bursts.py").write_text("raise RuntimeError('bursts')\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = book(entry("bursts", "plugin_that_bursts:Law"))
    assert "RuntimeError: bursts" in found.infos[0].problem


def test_of_two_with_one_name_one_is_used_and_the_other_reported() -> None:
    found = book(entry("twice", "controller.laws.fixed:Nop"), entry("twice", "controller.laws.pid:Pid"))
    assert isinstance(found.law("twice"), Nop)
    assert [bool(info.problem) for info in found.infos] == [False, True]


def test_an_instance_is_a_law_too() -> None:
    law = Pid()
    assert check_law(law) is law


def test_every_law_is_described_with_the_schema_of_its_settings(ours: LawBook) -> None:
    described = ours.describe()
    assert described["pid"]["settings"]["properties"]["mode"]["enum"] == ["correct", "compatible"]
    assert all(law["summary"] and not law["problem"] for law in described.values())


def test_listing_names_components_of_all_groups() -> None:
    infos = list_plugins()
    assert {info.component for info in infos} <= set(COMPONENTS)
    assert "pid" in {info.name for info in infos if info.component == "law"}
    assert all(info.builtin for info in infos if info.distribution == "asperathos")
