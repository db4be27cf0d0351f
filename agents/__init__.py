"""Whoever chooses the controls: fixed and learned schedulers, their training, and policy files."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Scheduler": "scheduler",
    "SCHEDULERS": "scheduler",
    "make_scheduler": "scheduler",
    "register_scheduler": "scheduler",
    "GANScheduler": "plugin",
    "GANSchedulerCallback": "lightning",
    "PolicyScheduler": "policy",
    "PolicyNetwork": "policy",
    "load_policy": "policy",
    "save_policy": "policy",
    "ALGORITHMS": "algorithms",
    "TrainConfig": "train_config",
    "train": "training",
    "FastLstmPolicy": "recurrent_policy",
    "FastRecurrentPPO": "fast_recurrent_ppo",
    "SchedulerPolicy": "recurrent_policy",
    "MemorylessPolicy": "direct_layer",
}
__all__ = sorted(_HOMES.keys() - {"GANSchedulerCallback"})  # which needs Lightning, an extra


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"metagan_rl.agents.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
