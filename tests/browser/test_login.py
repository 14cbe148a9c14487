"""Logging in with a real browser: what its rules for cookies, forms and other sites come to."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import scenes
from tests.browser.conftest import AXE, Watched
from tests.browser.world import VisualizerProcess, World, any_port
from tests.support.guard import ADMIN_TOKEN, SERVICE_TOKEN
from tests.support.redis_process import RedisProcess

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ID = "kj-0123456"


@pytest.fixture(scope="module")
def guarded(
    _shared_world: World, redis_server: RedisProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VisualizerProcess]:
    """A visualizer to which one has to log in."""
    log: Path = tmp_path_factory.mktemp("guarded") / "visualizer.log"
    tokens = {"authentication": "on", "service_token": SERVICE_TOKEN, "admin_token": ADMIN_TOKEN}
    process = VisualizerProcess(any_port(), _shared_world.url, redis_server.url, log, **tokens)
    process.start()
    yield process
    process.stop()


@pytest.fixture
def watched(browser: Browser, guarded: VisualizerProcess, world: World) -> Iterator[Watched]:
    now = time.time()
    scene = scenes.LIVE
    world.submissions[ID] = {**scenes.status(scene, scenes.steps(scene)[-1], now - scene.elapsed, now), "id": ID}
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(15000)
    looked_at = Watched(page, guarded.url)
    # What is refused is an error in the console.
    looked_at.faults_expected = ("401", "403")
    yield looked_at
    context.close()
    assert [fault for fault in looked_at.faults if not any(part in fault for part in looked_at.faults_expected)] == []


def log_in(watched: Watched, password: str = ADMIN_TOKEN) -> None:
    watched.page.fill("input[name=name]", "operator")
    watched.page.fill("input[name=password]", password)
    watched.page.press("input[name=password]", "Enter")


def test_from_the_form_to_where_one_was_going_and_out_again(watched: Watched, axe: str) -> None:
    watched.open(f"/submissions/{ID}")
    log_in(watched, "a wrong one, but not a short one")
    assert "not known" in watched.page.inner_text("[role=alert]")
    watched.page.evaluate(axe)
    assert watched.page.evaluate(AXE) == []
    log_in(watched)
    watched.page.wait_for_url(f"**/submissions/{ID}")
    assert watched.page.evaluate("document.cookie") == ""
    (cookie,) = watched.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert "operator" in watched.page.inner_text("header")
    watched.live("/")
    watched.page.click("text=Log out")
    watched.page.wait_for_url("**/login")
    watched.open("/")
    assert watched.page.is_visible("input[name=password]")


def test_a_live_page_asks_anew_when_its_login_is_over(watched: Watched, redis_server: RedisProcess) -> None:
    watched.open("/")
    log_in(watched)
    watched.page.wait_for_selector("#link-state[data-link=live]")
    with redis_server.client() as client:
        client.delete(*client.scan_iter("asp:claim:session:*"))
    watched.page.reload()
    watched.page.wait_for_url("**/login*")
    log_in(watched)
    watched.page.wait_for_selector("#link-state[data-link=live]")


def test_another_site_gets_nothing_from_a_visitor_who_is_logged_in(
    watched: Watched, guarded: VisualizerProcess
) -> None:
    """Of this machine, too: to a browser every port of it is the same site, cookies and all."""
    watched.open("/")
    log_in(watched)
    watched.page.wait_for_selector("#link-state[data-link=live]")
    with Evil(guarded.url) as address:
        watched.page.goto(address)
        watched.page.wait_for_function("window.outcome !== undefined")
        assert watched.page.evaluate("window.outcome") == "refused"
        watched.page.click("button")
        watched.page.wait_for_load_state()
        assert "another site" in watched.page.content()
    watched.faults_expected += ("CORS", "frame", "Refused", "ERR_FAILED", "net::ERR")
    watched.live("/")


class Evil:
    """A page of another port that reads, posts and frames."""

    def __init__(self, target: str) -> None:
        page = f"""<!doctype html><title>x</title><iframe src="{target}/"></iframe>
<form method="post" action="{target}/logout"><button>win</button></form><script>
fetch("{target}/api/submissions", {{credentials: "include"}}).then(() => window.outcome = "read")
  .catch(() => window.outcome = "refused");
</script>""".encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
