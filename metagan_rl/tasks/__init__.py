"""Tasks: what a GAN is trained on. Importing this registers the built-in families and suites."""

from metagan_rl.tasks import columns, images, planar, planar_curves, real  # noqa: F401  (to register their families)
from metagan_rl.tasks.hidden import Event, Hidden
from metagan_rl.tasks.own import suite_from_array, suite_from_csv, suite_from_images, suite_from_npy
from metagan_rl.tasks.real import table_from_array
from metagan_rl.tasks.suites import SUITES, Split, Suite, get_suite, is_suite, register_suite
from metagan_rl.tasks.task import (
    FAMILIES,
    Base,
    Family,
    Modes,
    Networks,
    Task,
    TaskData,
    register_family,
    sample_task,
)

__all__ = [
    "FAMILIES",
    "SUITES",
    "Base",
    "Event",
    "Family",
    "Hidden",
    "Modes",
    "Networks",
    "Split",
    "Suite",
    "Task",
    "TaskData",
    "get_suite",
    "is_suite",
    "register_family",
    "register_suite",
    "sample_task",
    "suite_from_array",
    "suite_from_csv",
    "suite_from_images",
    "suite_from_npy",
    "table_from_array",
]
