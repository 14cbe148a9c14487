"""A handler that takes 20 ms an item."""

import time

import asperathos_worker


def handle(item: str) -> str:
    time.sleep(0.02)
    return f"done {item}"


asperathos_worker.run(handle)
