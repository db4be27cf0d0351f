"""The single environment: a vector environment with one member, behind Gymnasium's ``Env``."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from metagan_rl.envs.infos import unbatched
from metagan_rl.envs.options import plain
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.errors import UnknownNameError


class MetaGANEnv(gym.Env[np.ndarray, np.ndarray]):
    """One GAN training run. One step trains it for one interval.

    Args:
        suite: name of a suite; each registered environment has its own.
        **options: as in :class:`MetaGANVectorEnv`, which does the work.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 8}

    def __init__(self, suite: str = "planar", **options: Any) -> None:
        self._suite, self._options = suite, options
        self.vector = MetaGANVectorEnv(suite, 1, autoreset_mode=AutoresetMode.DISABLED, **options)
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.render_mode = self.vector.render_mode
        self._np_random, self._np_random_seed = self.vector.rngs[0], self.vector.seeds[0]

    @property
    def spec(self) -> Any:
        """How it was made; JSON gives back an equal spec."""
        return self.vector.spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self.vector.spec = spec

    @property
    def max_episode_steps(self) -> int:
        """Steps of the longest episode."""
        return self.vector.max_episode_steps

    def action_masks(self) -> np.ndarray:
        """Which choices of a discrete action change something, bool ``[sum of choices]``; see ``ActionCodec.masks``."""
        return self.vector.action_masks()[0]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts a run on a task drawn from the split.

        Args:
            seed: fixes the task and all randomness of the run; ``None`` continues with the environment's generator.
            options: may hold ``task`` (the name of a task in the split, or any ``Task``) and ``gan_seed`` (fixes the
                run's randomness).
        """
        super().reset(seed=seed)
        self.vector.rngs[0], self.vector.seeds[0] = self.np_random, self.np_random_seed
        options = options or {}
        for name in options:
            if name not in ("task", "gan_seed"):
                raise UnknownNameError("reset option", name, ("task", "gan_seed"))
        given = {
            plural: [options[name]]
            for name, plural in (("task", "tasks"), ("gan_seed", "gan_seeds"))
            if name in options
        }
        observations, infos = self.vector.reset(options=given)
        return observations[0], unbatched(infos)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Trains the GAN for one interval.

        Raises:
            InvalidValueError: the action lies outside the space, or the run has ended and was not reset.
        """
        observations, rewards, terminated, truncated, infos = self.vector.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), unbatched(infos)

    def get_state(self) -> dict[str, Any]:
        """All that decides what is still to come, as plain data; see :class:`MetaGANVectorEnv`."""
        return self.vector.get_state()

    def set_state(self, state: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Goes on from a state, also one with other options; returns what ``reset`` would.

        Raises:
            InvalidValueError: the state is damaged, or of several members.
        """
        observations, infos = self.vector.set_state(state)
        self._np_random, self._np_random_seed = self.vector.rngs[0], self.vector.seeds[0]
        return observations[0], unbatched(infos)

    def clone(self, **changes: Any) -> "MetaGANEnv":
        """An independent environment in the same state, with some options changed: a branch of the same GAN."""
        made = type(self)(self._suite, **{**self._options, **changes})
        if self.vector.runs is not None:
            made.set_state(self.get_state())
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles by its options and the vector environment that does the work."""
        return _remade, (type(self), self._suite, plain(self._options), self.vector)

    def render(self) -> np.ndarray | None:
        """A picture of the run so far, uint8 ``[H, W, 3]``."""
        frames = self.vector.render()
        return None if frames is None else frames[0]


def _remade(kind: type[Any], suite: str, options: dict[str, Any], vector: MetaGANVectorEnv) -> Any:
    env = kind(suite, **options)
    env.vector = vector
    env._np_random, env._np_random_seed = vector.rngs[0], vector.seeds[0]
    return env
