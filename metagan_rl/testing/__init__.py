"""Conformance checks for people who add their own parts. One call in a test reports all that is wrong."""

from metagan_rl.testing.errors import ConformanceError
from metagan_rl.testing.families import check_family
from metagan_rl.testing.schedulers import check_scheduler

__all__ = ["ConformanceError", "check_family", "check_scheduler"]
