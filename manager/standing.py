"""How far a submission is, from its record and what was measured last. Pure."""

from __future__ import annotations

from common.domain.progress import Counts, Observation
from common.domain.submission import Submission


def counts_of(submission: Submission, observation: Observation | None) -> Counts:
    """Items by place."""
    if submission.state.terminal and submission.summary is not None:
        return submission.summary.counts
    return observation.counts if observation is not None else Counts(ready=submission.loaded)


def progress_of(submission: Submission, observation: Observation | None) -> float:
    """Share of the work that is done, 0 to 1."""
    if submission.state.terminal and submission.summary is not None and submission.summary.counts.total is not None:
        return submission.summary.counts.progress
    return observation.progress if observation is not None else 0.0
