"""What the exit code of ``asperathos`` tells a script."""

from __future__ import annotations

OK = 0
"""Done; for watch and submit --watch: the submission completed (and met its deadline, if it had one)."""
FAILED = 1
"""The submission ended failed, stopped, terminated or with an error."""
USAGE = 2
"""The command line was wrong (click's own code), or a file that it names cannot be read or written."""
DEADLINE_MISSED = 3
"""The submission completed, but after its deadline."""
REJECTED = 4
"""The manager refused the request: a bad document, an unknown id, no right to it, a conflict."""
UNREACHABLE = 5
"""The manager does not answer."""
NOT_STARTED = 6
"""The local stack could not be started: a port is taken, a part did not come up."""
INTERRUPTED = 130
"""Ctrl-C: of watch and top, too; what they showed goes on."""

HELP = """\b
Exit codes: 0 done (watch: completed in time) · 1 the submission failed or was stopped · 2 wrong usage
3 completed after its deadline · 4 refused by the manager · 5 the manager does not answer
6 the local stack did not start · 130 interrupted"""
