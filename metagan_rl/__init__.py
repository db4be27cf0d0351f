"""GAN training as Gymnasium environments: meta-learned training schedules, and a benchmark to trust them by."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from metagan_rl.when_imported import when_imported

__version__ = version("metagan-rl")

_HOMES = {"GANScheduler": "metagan_rl.agents.plugin"}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _register() -> None:
    from metagan_rl.envs.registration import register_environments

    register_environments()


when_imported("gymnasium", _register)
