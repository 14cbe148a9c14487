"""Take a picture of a page: ``python tests/browser/screenshot.py URL OUT.png [--width 1600] [--height 1000] [--dark]``.

Needs playwright and Debian's chromium. Waits until the page is live and its charts are drawn.
"""

from __future__ import annotations

import argparse
import sys

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("out")
    parser.add_argument("--width", type=int, default=1600)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--scale", type=float, default=1.0, help="device pixels per CSS pixel")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--full", action="store_true", help="the whole page, not only what a window shows")
    parser.add_argument("--wait", type=float, default=2.0, help="seconds to wait once the page is live")
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(
            viewport={"width": arguments.width, "height": arguments.height},
            color_scheme="dark" if arguments.dark else "light",
            device_scale_factor=arguments.scale,
        )
        page.on("console", lambda message: print(f"console {message.type}: {message.text}", file=sys.stderr))
        page.on("pageerror", lambda error: print(f"error: {error}", file=sys.stderr))
        page.goto(arguments.url)
        page.wait_for_selector("#link-state[data-link=live], .missing", timeout=15000)
        page.wait_for_timeout(arguments.wait * 1000)
        page.screenshot(path=arguments.out, full_page=arguments.full)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
