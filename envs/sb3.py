"""The bridge to Stable-Baselines3, which does not accept Gymnasium's vector environments."""

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from stable_baselines3.common.vec_env import VecEnv

from metagan_rl.envs.infos import of_member
from metagan_rl.envs.registration import find_environment, make_vector
from metagan_rl.envs.vector import PER_MEMBER
from metagan_rl.errors import InvalidValueError
from metagan_rl.runtime import limited_threads


def make_sb3_vec_env(
    env_id: str = "MetaGAN/Planar-v2",
    num_envs: int = 16,
    *,
    shards: int = 1,
    threads: int | None = 1,
    **options: Any,
) -> "SB3VecEnv":
    """A Stable-Baselines3 ``VecEnv`` over the native vector environment, ready for PPO or RecurrentPPO.

    Args:
        env_id: the id of an environment, or the name of a suite; your own work too.
        num_envs: GANs trained at once.
        shards: worker processes to spread them over; 1 trains in this process.
        threads: torch threads of this process until the environment is closed; ``None`` leaves them as they are. An
            agent of a few layers needs many times the processor time with more than one.
        **options: keywords of the environment.

    Raises:
        UnknownNameError: no environment or suite has that name.
    """
    env_id, keywords = find_environment(env_id)
    options = {**keywords, **options}
    if shards > 1:
        from metagan_rl.envs.sharded import ShardedVectorEnv

        return SB3VecEnv(ShardedVectorEnv(env_id, num_envs, shards, **options), threads)
    return SB3VecEnv(make_vector(env_id, num_envs, **options), threads)


class SB3VecEnv(VecEnv):
    """Presents a Gymnasium ``VectorEnv`` in same-step autoreset mode as a Stable-Baselines3 ``VecEnv``.

    As in SB3, the observation after a ``done`` belongs to the next episode, and ``info["terminal_observation"]`` has
    the last one's. ``info["episode"]`` holds the return, the length and the seconds since the environment was made.
    ``seconds`` counts only the time spent in steps.

    Args:
        env: the environment.
        threads: torch threads of this process until :meth:`close`; ``None`` leaves them as they are.

    Raises:
        InvalidValueError: the environment resets in another mode.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], threads: int | None = None) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise InvalidValueError(
                f"autoreset_mode is {env.metadata.get('autoreset_mode')}; "
                "Stable-Baselines3 needs AutoresetMode.SAME_STEP"
            )
        self.venv = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.metadata = {**env.metadata, **self.metadata}
        self._actions: Any = None
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._started = time.monotonic()
        self.seconds = 0.0
        self._limit = contextlib.ExitStack()
        if threads is not None:
            self._limit.enter_context(limited_threads(threads))

    def reset(self) -> Any:
        """Starts new episodes; their observations. Uses the seeds and options given before, once."""
        seeds = self._seeds if any(seed is not None for seed in self._seeds) else None
        options = self._joint_options()
        observations, infos = self.venv.reset(seed=seeds, options=options)  # type: ignore[arg-type]  # list of seeds
        self.reset_infos = [of_member(infos, member) for member in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        return observations

    def _joint_options(self) -> dict[str, Any] | None:
        """The options that all members were given, or ``None``: the environment takes one set for all members."""
        given = [options for options in self._options if options]
        if not given:
            return None
        if any(options is not given[0] and options != given[0] for options in given):
            raise InvalidValueError("set_options with other options for each member; give one dict with lists for all")
        return dict(given[0])

    def step_async(self, actions: Any) -> None:
        """Stores the actions for ``step_wait``: an array, or one for each member if they have several parts."""
        if isinstance(self.action_space, (gym.spaces.Dict, gym.spaces.Tuple)):
            space = self.action_space
            empty: Any = create_empty_array(space, self.num_envs)
            actions = concatenate(space, actions, empty)
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Trains all members for one interval.

        Raises:
            InvalidValueError: ``step_async`` did not come before.
        """
        if self._actions is None:
            raise InvalidValueError("step_wait was called without actions; call step_async first, each time")
        began = time.monotonic()
        actions, self._actions = self._actions, None
        observations, rewards, terminated, truncated, infos = self.venv.step(actions)
        self.seconds += time.monotonic() - began
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        final_obs, final_info = infos.pop("final_obs", None), infos.pop("final_info", None)
        records = []
        for member in range(self.num_envs):
            if dones[member]:
                record = of_member(final_info, member)
                self.reset_infos[member] = of_member(infos, member)
                record["terminal_observation"] = final_obs[member]
                record["TimeLimit.truncated"] = bool(truncated[member] and not terminated[member])
                record["episode"] = {
                    "r": float(self._returns[member]),
                    "l": int(self._lengths[member]),
                    "t": round(time.monotonic() - self._started, 6),
                }
                self._returns[member], self._lengths[member] = 0.0, 0
            else:
                record = of_member(infos, member)
                record["TimeLimit.truncated"] = False
            records.append(record)
        return observations, rewards.astype(np.float32), dones, records

    def close(self) -> None:
        """Closes the environment and its workers."""
        self._limit.close()
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the environment, once for each member."""
        value = getattr(self.venv, attr_name)
        return [value for _ in self._members(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Sets an attribute of the environment, for all members.

        Raises:
            InvalidValueError: only some members are named.
        """
        self._all_members(f"set {attr_name}", indices)
        setattr(self.venv, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Calls a method of the environment once. The result has an entry for each member, or is repeated for each.

        Raises:
            InvalidValueError: only some members are named, and the method acts on all of them.
        """
        if method_name in PER_MEMBER:
            result = getattr(self.venv, method_name)(*method_args, **method_kwargs)
            return [result[member] for member in self._members(indices)]
        self._all_members(f"call {method_name} of", indices)
        result = getattr(self.venv, method_name)(*method_args, **method_kwargs)
        return [result] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """Always false: members have no wrappers. Episode statistics are in ``info`` nevertheless."""
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor for _ in self._members(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each member."""
        frames: Any = self.venv.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def _all_members(self, what: str, indices: Any) -> None:
        if sorted(self._members(indices)) != list(range(self.num_envs)):
            raise InvalidValueError(f"cannot {what} members {indices} alone; members train together, leave indices out")

    def _members(self, indices: Any) -> Iterable[int]:
        return self._get_indices(indices)
