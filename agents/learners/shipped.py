"""Policies that come with the package, as schedulers by name. ``agents/policies/README.md`` says how they were made."""

from collections.abc import Callable
from pathlib import Path

from metagan_rl.agents.learners.policy import PolicyScheduler
from metagan_rl.agents.learners.policy_files import load_policy
from metagan_rl.errors import UnknownNameError
from metagan_rl.loop.scheduler import register_scheduler

SHIPPED = Path(__file__).parent.parent / "policies"


def shipped_policies() -> list[str]:
    """Names of the policies that come with the package; :func:`shipped_policy` says where they are."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def shipped_policy(name: str = "default") -> Path:
    """The file of a policy that comes with the package.

    Raises:
        UnknownNameError: there is no policy of that name.
    """
    if name not in shipped_policies():
        raise UnknownNameError("policy", name, shipped_policies())
    return SHIPPED / f"{name}.safetensors"


def default_policy() -> PolicyScheduler:
    """Departs from identified-rule. It learned, on wide conditions, what to do when a run is not as it should be."""
    return load_policy(shipped_policy())


def policy_without_quality() -> PolicyScheduler:
    """As default, but it never sees a quality metric: only what any training loop has."""
    return load_policy(shipped_policy(WITHOUT_QUALITY))


def loop_policy() -> PolicyScheduler:
    """Sets both learning rates from losses, D's outputs and how far weights move; needs no quality metric."""
    return load_policy(shipped_policy(LOOP))


def on_top_policy() -> PolicyScheduler:
    """Sets both learning rates on top of a schedule, from what any loop has; needs no quality metric.

    In a user's own loop it departs from what the loop does by itself, with rates checked as ``rate-check`` does, as it
    was trained to (see GANScheduler). In a comparison it departs from identified-rule.
    """
    return load_policy(shipped_policy(ON_TOP)).around("identified-rule")


ON_TOP = "on-top"
"""The shipped policy that was trained on top of users' schedules, and sees what any loop has."""
WITHOUT_QUALITY = "without-quality"
"""The shipped policy that was trained as the default one, without signals of quality."""
LOOP = "loop"
"""The shipped policy that is made for users' own loops."""
COMPARED = {
    "recurrent-ppo": "Recurrent PPO (RL\N{SUPERSCRIPT TWO}) trained with no more updates than tuned-constant took.",
    "ppo": "PPO without memory, trained as recurrent-ppo is.",
    "dqn": "A value-based agent that moves one control by one level at a time, trained as recurrent-ppo is.",
    "autoloss": "The step ratio alone, learned from AutoLoss's few signals as recurrent-ppo is.",
    "fsco": "Recurrent PPO rewarded as FSCO is: only for losses of D and G that are equal.",
}
"""Policies that ship for comparison, and what each is. The model card beside their files names the sources."""


def _compared(name: str, what: str) -> Callable[[], PolicyScheduler]:
    def make() -> PolicyScheduler:
        return load_policy(shipped_policy(name))

    make.__doc__ = what
    return make


register_scheduler("default", default_policy)
register_scheduler(WITHOUT_QUALITY, policy_without_quality)
register_scheduler(ON_TOP, on_top_policy)
register_scheduler(LOOP, loop_policy)
for _name, _what in COMPARED.items():
    register_scheduler(_name, _compared(_name, _what))
