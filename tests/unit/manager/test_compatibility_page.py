"""docs/compatibility.md names every field of the original and every route of the manager."""

from __future__ import annotations

import re
from pathlib import Path

from manager.translate import FIELDS
from tests.support.manager_door import Door

PAGE = (Path(__file__).parents[3] / "docs" / "compatibility.md").read_text()


def test_every_field_of_the_original_is_named() -> None:
    missing = [old for old, _ in FIELDS if not re.search(rf"\b{old.rpartition('.')[2]}\b", PAGE)]
    assert missing == []


def test_every_route_is_named() -> None:
    paths = {re.sub(r"<\w+>", ":id", str(rule)) for rule in Door().app.url_map.iter_rules()}
    missing = [path for path in paths if path.rpartition("/")[2].strip(":") not in PAGE]
    assert missing == []
