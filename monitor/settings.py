"""The monitor's settings."""

from __future__ import annotations

from common.settings import CommonSettings


class Settings(CommonSettings):
    """The monitor has no settings of its own: what it measures, and how often, comes with each submission."""
