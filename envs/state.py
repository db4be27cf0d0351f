"""The state of a vector environment: what decides all that is still to come, as plain data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metagan_rl.envs.options import plain
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.memory import pack, unpack

if TYPE_CHECKING:
    from metagan_rl.envs.vector import MetaGANVectorEnv

VERSION = 1
OWN = ("_steps", "_ended", "_rewards")
ACTED = ("knobs", "control", "lr_levels", "actions", "reference", "pace", "trial_runs")
"""Options that departures, a reference's memory and a trial's memory depend on."""


def state_of(env: "MetaGANVectorEnv") -> dict[str, Any]:
    """The state of an environment that was reset.

    Raises:
        InvalidValueError: it was not reset.
    """
    if env.runs is None:
        raise InvalidValueError("get_state was called before reset; call reset first")
    return {
        "version": VERSION,
        "acted": acted(env),
        "runs": env.runs.state_dict(),
        "rngs": pack(env.rngs, "rngs"),
        "seeds": list(env.seeds),
        **{name: pack(getattr(env, name), name) for name in OWN},
        **{name: pack(getattr(env, name), name) for name in ("departures", "reference", "memory")},
        "history": [[dict(entry) for entry in entries] for entries in env._history],
    }


def restore(env: "MetaGANVectorEnv", state: Mapping[str, Any]) -> None:
    """Puts an environment into a state. If its actions mean something else, members are back on their references.

    Raises:
        InvalidValueError: the state is damaged, or of another version or number of members.
    """
    try:
        if state["version"] != VERSION:
            raise InvalidValueError(f"the state is of version {state['version']}; this one reads {VERSION}")
        count = len(state["seeds"])
        if count != env.num_envs:
            raise InvalidValueError(f"the state is of {count} members; this environment has {env.num_envs}")
        rngs = unpack(state["rngs"], None)
        own = {name: unpack(state[name], None) for name in OWN}
        if any(len(each) != count for each in (rngs, *own.values(), state["history"])):
            raise ValueError("its parts are of different numbers of members")
    except InvalidValueError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(f"the state is damaged ({type(error).__name__}: {error})") from None
    env.load_runs(state["runs"])
    env.rngs, env.seeds = list(rngs), list(state["seeds"])
    for name, value in own.items():
        setattr(env, name, value)
    env._frames.clear()
    env._history = [[dict(entry) for entry in entries] for entries in state["history"]]
    same = state["acted"] == acted(env)
    members = np.arange(count)
    if env.render_mode is not None:  # the state may come from an environment that drew nothing
        env._history = [entries or [env._entry(member)] for member, entries in enumerate(env._history)]
    for name in ("departures", "memory"):
        part = getattr(env, name)
        if part is not None and same:
            unpack(state[name], part)
        elif part is not None:
            part.restart(members)
    if env.reference is not None and same:
        unpack(state["reference"], env.reference)
    elif env.reference is not None:
        env.reference.restart(members, [0] * count)


def acted(env: "MetaGANVectorEnv") -> dict[str, Any]:
    """The options that say what actions mean, as JSON holds them."""
    return {name: plain(getattr(env.options, name)) for name in ACTED}
