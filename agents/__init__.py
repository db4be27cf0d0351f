"""Everything that chooses controls: rules, searches, learners, their policies, and a plug-in for users' own loops."""

from typing import TYPE_CHECKING

from metagan_rl.lazy import lazy

if TYPE_CHECKING:
    from metagan_rl.agents.catalogue import make_scheduler, scheduler_names
    from metagan_rl.agents.learners.config import TrainConfig
    from metagan_rl.agents.learners.learner import LEARNERS, Learner, register_learner
    from metagan_rl.agents.learners.policy import PolicyConfig, PolicyNetwork, PolicyScheduler
    from metagan_rl.agents.learners.policy_files import load_policy, save_policy
    from metagan_rl.agents.learners.training import train
    from metagan_rl.agents.plugin import GANScheduler
    from metagan_rl.agents.plugin.lightning import GANSchedulerCallback
    from metagan_rl.loop.controls import Controls
    from metagan_rl.loop.scheduler import SCHEDULERS, Scheduler, Situation, register_scheduler

__all__ = [
    "LEARNERS",
    "SCHEDULERS",
    "Controls",
    "GANScheduler",
    "GANSchedulerCallback",
    "Learner",
    "PolicyConfig",
    "PolicyNetwork",
    "PolicyScheduler",
    "Scheduler",
    "Situation",
    "TrainConfig",
    "load_policy",
    "make_scheduler",
    "register_learner",
    "register_scheduler",
    "save_policy",
    "scheduler_names",
    "train",
]
__getattr__ = lazy(
    __name__,
    {
        "LEARNERS": "metagan_rl.agents.learners.learner",
        "SCHEDULERS": "metagan_rl.loop.scheduler",
        "Controls": "metagan_rl.loop.controls",
        "GANScheduler": "metagan_rl.agents.plugin",
        "GANSchedulerCallback": "metagan_rl.agents.plugin.lightning",
        "Learner": "metagan_rl.agents.learners.learner",
        "PolicyConfig": "metagan_rl.agents.learners.policy",
        "PolicyNetwork": "metagan_rl.agents.learners.policy",
        "PolicyScheduler": "metagan_rl.agents.learners.policy",
        "Scheduler": "metagan_rl.loop.scheduler",
        "Situation": "metagan_rl.loop.scheduler",
        "TrainConfig": "metagan_rl.agents.learners.config",
        "load_policy": "metagan_rl.agents.learners.policy_files",
        "make_scheduler": "metagan_rl.agents.catalogue",
        "register_learner": "metagan_rl.agents.learners.learner",
        "register_scheduler": "metagan_rl.loop.scheduler",
        "save_policy": "metagan_rl.agents.learners.policy_files",
        "scheduler_names": "metagan_rl.agents.catalogue",
        "train": "metagan_rl.agents.learners.training",
    },
)
