"""The submission document and the files beside it: what a simulation is made of. Reads files, nothing else."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

from common.domain.errors import BadRequest, Fault, InvalidSubmission
from common.domain.parsing import parse_native
from common.domain.submission import SubmissionSpec
from manager.translate import is_compatible, translate


@dataclass(frozen=True)
class Document:
    """``items`` is None when only a run could tell how many there are."""

    spec: SubmissionSpec
    items: int | None
    warnings: tuple[str, ...] = ()


def read_document(text: str, directory: Path) -> Document:
    """The document as the manager would read it; paths in it count from ``directory``.

    Raises BadRequest for what is neither YAML nor JSON, InvalidSubmission with every fault of a wrong document.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"neither YAML nor JSON: {error}") from error
    if not isinstance(content, Mapping):
        raise InvalidSubmission([Fault("body", "must be an object with fields such as run and workload")])
    if is_compatible(content):
        translation = translate(content)
        return Document(translation.spec, _counted(translation.spec, directory), translation.warnings)
    spec = parse_native(_with_url(content, directory))
    return Document(spec, _counted(spec, directory))


def read_numbers(path: Path, columns: tuple[str, ...]) -> tuple[float, ...]:
    """The numbers in a CSV file: of the first of ``columns`` that it has, else of its only column.

    Raises ValueError naming the line that holds none, or what the file must look like.
    """
    with path.open(newline="", encoding="utf-8-sig") as lines:
        rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    if not rows:
        raise ValueError(f"{path} is empty: give one number a line")
    header = [cell.strip().lower() for cell in rows[0]]
    place = next((header.index(name) for name in columns if name in header), None)
    is_headed = place is not None or _number(rows[0][0]) is None
    if place is None:
        if len(rows[0]) > 1:
            raise ValueError(f"{path} has several columns, none of them named {' or '.join(columns)}: name one so")
        place = 0
    numbers = []
    for number, row in enumerate(rows[is_headed:], 1 + is_headed):
        value = _number(row[place]) if place < len(row) else None
        if value is None or value < 0:
            raise ValueError(f"{path}, row {number}: {', '.join(row)!r} holds no number of seconds")
        numbers.append(value)
    if not numbers:
        raise ValueError(f"{path} has a heading but no numbers")
    return tuple(numbers)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _with_url(content: Mapping[object, object], directory: Path) -> Mapping[object, object]:
    """With the path of a workload made a URL, as ``asperathos submit`` does."""
    workload = content.get("workload")
    if isinstance(workload, str) and "://" not in workload:
        return {**content, "workload": (directory / workload).resolve().as_uri()}
    if isinstance(workload, Mapping) and isinstance(workload.get("url"), str) and "://" not in workload["url"]:
        url = (directory / workload["url"]).resolve().as_uri()
        return {**content, "workload": {**workload, "url": url}}
    return content


def _counted(spec: SubmissionSpec, directory: Path) -> int | None:
    workload = spec.workload
    if workload is None:
        return None
    if workload.items is not None:
        return len(workload.items)
    if workload.glob is not None and "://" not in workload.glob:
        pattern = Path(workload.glob)
        base = Path(pattern.anchor) if pattern.is_absolute() else directory
        return sum(1 for path in base.glob(str(pattern.relative_to(pattern.anchor))) if path.is_file())
    if workload.url is not None and urlsplit(workload.url).scheme == "file":
        path = Path(unquote(urlsplit(workload.url).path))
        if path.is_file():
            with path.open("rb") as lines:
                return sum(1 for line in lines if line.strip())
    return None
