"""A handler that takes as long as its first argument says, and writes each item it begins into a file."""

import os
import sys
import time

import asperathos_worker

SECONDS, DIARY = float(sys.argv[1]), sys.argv[2]


def handle(item: str) -> str:
    diary = os.open(DIARY, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(diary, f"{item}\n".encode())
    os.close(diary)
    time.sleep(SECONDS)
    return f"done {item}"


asperathos_worker.run(handle)
