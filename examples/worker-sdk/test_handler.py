"""How to test a handler: no Redis, no Kubernetes, no waiting."""

from __future__ import annotations

import json
from pathlib import Path

from asperathos_worker import run_in_memory
from handler import count_words


def test_words_are_counted(tmp_path: Path) -> None:
    good = tmp_path / "good.txt"
    good.write_text("three short words")
    missing = tmp_path / "missing.txt"

    run = run_in_memory(count_words, [str(good), str(missing)])

    assert json.loads(run.results[0] or "") == {"path": str(good), "words": 3, "longest": "three"}
    assert run.outcomes[1].result is None
    assert run.outcomes[1].attempts == 1, "a missing file is not tried again"
    assert run.metrics == {"words_per_file": 3.0}
