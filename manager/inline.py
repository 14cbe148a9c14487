"""Inline items, kept beside the submission's record and not in it.

A record is read whole at every look at it, some times a second for each submission that runs; its items are needed to
fill the queue, and when somebody asks for the document as it was handed in. So all but a few of them are packed into
the record's attachment, which comes and goes with the record but is read only when it is wanted.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Sequence

from common.domain.errors import WorkloadError
from common.domain.submission import Submission, SubmissionSpec, Workload
from common.ports import Records

_FEW = 4096
"""Characters of items, three added for each, that stay in the record: that costs less than to read them by
themselves."""
_FAST = 1
"""zlib's level: a third of the time of the usual one, for a few per cent more."""


def parted(submission: Submission) -> tuple[Submission, str]:
    """The record to keep, and what is to be kept beside it ('' for nothing)."""
    workload = submission.spec.workload
    items = workload.items if workload is not None else None
    if workload is None or not items or sum(map(len, items)) + 3 * len(items) <= _FEW:
        return submission, ""
    spec = submission.spec.model_copy(update={"workload": workload.model_copy(update={"items": ()})})
    return submission.model_copy(update={"spec": spec, "items_apart": len(items)}), packed(items)


def packed(items: Sequence[str]) -> str:
    """The items as one text: deflated JSON in base 64."""
    return base64.b64encode(zlib.compress(json.dumps(items, ensure_ascii=False).encode(), _FAST)).decode("ascii")


def unpacked(text: str) -> tuple[str, ...]:
    """The items in it. Raises ValueError when that is no text of ``packed``."""
    try:
        return tuple(json.loads(zlib.decompress(base64.b64decode(text, validate=True))))
    except (binascii.Error, zlib.error) as error:
        raise ValueError(str(error)) from error


class InlineItems:
    """Looks up what is kept beside the records. Raises Unavailable."""

    def __init__(self, records: Records[Submission]) -> None:
        self._records = records

    def workload(self, submission: Submission) -> Workload | None:
        """Its workload, items included. Raises WorkloadError when they are lost."""
        workload = submission.spec.workload
        if workload is None or not submission.items_apart:
            return workload
        try:
            items = unpacked(self._records.attachment(submission.id))
        except ValueError as error:
            raise WorkloadError(f"the inline items are not kept any more: {error}") from error
        return workload.model_copy(update={"items": items})

    def spec(self, submission: Submission) -> SubmissionSpec:
        """The specification as it was handed in; without the items if they are lost."""
        try:
            workload = self.workload(submission)
        except WorkloadError:
            return submission.spec
        return submission.spec.model_copy(update={"workload": workload})
