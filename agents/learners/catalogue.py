"""Finds learners by name: those of the package, those of installed extensions, and ``module:attribute``."""

from metagan_rl.agents.learners.learner import LEARNERS, Learner
from metagan_rl.errors import UnknownNameError
from metagan_rl.extensions import load_entry_points


def find_learner(name: str) -> type[Learner]:
    """The learner of that name: one of the package, of an extension, or ``module:attribute``.

    Raises:
        UnknownNameError: there is no such learner; the message offers the nearest names.
    """
    learner_names()
    found = LEARNERS[name]
    if not (isinstance(found, type) and issubclass(found, Learner)):
        raise UnknownNameError("algorithm", name, learner_names())
    return found


def learner_names() -> list[str]:
    """The names that :func:`find_learner` knows."""
    from metagan_rl.agents.learners import evolution_strategies, imitation  # noqa: F401  (to register them)
    from metagan_rl.agents.learners.sb3 import dqn, ppo, recurrent_ppo  # noqa: F401

    load_entry_points()
    return list(LEARNERS)
