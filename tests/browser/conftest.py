"""A headless Chromium, a visualizer to look at, and a page that forgives nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common.adapters.redis_history import RedisMetrics
from tests.browser.world import VisualizerProcess, World, any_port
from tests.support.redis_process import RedisProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
AXE = """async () => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"] });
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html.slice(0, 160))]);
}"""
"""Asks axe-core for what is wrong and serious."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="NO BROWSER TEST RUNS: playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"NO BROWSER TEST RUNS: {CHROMIUM} is missing (apt-get install chromium)")
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield made
        made.close()


@pytest.fixture(scope="session")
def _shared_world() -> Iterator[World]:
    made = World()
    made.start()
    yield made
    made.stop()
    assert made.strays == []


@pytest.fixture
def world(_shared_world: World) -> World:
    """The session's world, empty and all there."""
    _shared_world.reset()
    return _shared_world


@pytest.fixture
def store(redis_server: RedisProcess) -> Iterator[RedisMetrics]:
    with redis_server.client() as client:
        yield RedisMetrics(client)


@pytest.fixture(scope="session")
def _shared_visualizer(
    _shared_world: World, redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VisualizerProcess]:
    log = tmp_path_factory.mktemp("visualizer") / "visualizer.log"
    process = VisualizerProcess(any_port(), _shared_world.url, redis_server.url, log)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def visualizer(world: World, _shared_visualizer: VisualizerProcess) -> VisualizerProcess:
    """The session's visualizer, running (again)."""
    _shared_visualizer.start_if_stopped()
    return _shared_visualizer


class Watched:
    """A page whose console errors, crashes and requests to other hosts are kept.

    ``faults_expected`` names parts of complaints that the test provokes.
    """

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.faults: list[str] = []
        self.faults_expected: tuple[str, ...] = ()
        self.strangers: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", self._request)

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def live(self, path: str) -> None:
        """Open and wait until the page is kept up to date."""
        self.open(path)
        self.page.wait_for_selector("#link-state[data-link=live]", timeout=15000)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Any) -> None:
        if not request.url.startswith(self.base + "/"):
            self.strangers.append(request.url)


@pytest.fixture
def watched(browser: Browser, visualizer: VisualizerProcess, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Fails the test when the page complained or asked another host."""
    options = getattr(request, "param", {})
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    page.set_default_timeout(15000)
    looked_at = Watched(page, visualizer.url)
    yield looked_at
    context.close()
    assert [fault for fault in looked_at.faults if not any(part in fault for part in looked_at.faults_expected)] == []
    assert looked_at.strangers == []


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: ASPERATHOS_TEST_PICTURES to look at them, else the test's own directory."""
    named = os.environ.get("ASPERATHOS_TEST_PICTURES")
    directory = Path(named) if named else tmp_path
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture(scope="session")
def axe() -> str:
    """The program of axe-core, as the development dependency brings it."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text()
