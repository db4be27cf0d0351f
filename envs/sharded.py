"""One vector environment spread over worker processes, to use more than one core."""

import contextlib
import itertools
import multiprocessing
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metagan_rl.envs.registration import make_vector, spec_of
from metagan_rl.envs.resets import Reset, member_seeds
from metagan_rl.envs.vector import MetaGANVectorEnv
from metagan_rl.errors import InvalidValueError, MetaGANError, WorkerError
from metagan_rl.populations.engines import say_what_trains

UNGUARDED = 87
"""Exit code of a worker whose main script would start workers itself."""
ANSWER_SECONDS = 1.0
"""Seconds between checks that a silent worker is still alive."""


class ShardedVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A registered environment with its members in several processes. Their number changes results only by rounding.

    Args:
        env_id: a registered ``MetaGAN/...`` id.
        num_envs: members in all, at least one for each shard.
        shards: worker processes; one for each core is best.
        **options: keywords of the environment; ``autoreset_mode`` stays at same-step.

    What the native environment refuses is refused in the same words, in this process, before any member is changed.

    Raises:
        InvalidValueError: there are fewer members than shards.
        MetaGANError: the native environment refuses an argument.
        WorkerError: a worker could not be started; its own message follows.
    """

    def __init__(self, env_id: str, num_envs: int, shards: int, **options: Any) -> None:
        if "autoreset_mode" in options:
            raise InvalidValueError("shards reset in the same step; leave autoreset_mode out, or use one process")
        if getattr(multiprocessing.current_process(), "_inheriting", False):  # a worker imports an unguarded script
            raise SystemExit(UNGUARDED)
        # Nothing is trained in it; it knows what to refuse. An id without a native environment checks by itself.
        native = spec_of(env_id).vector_entry_point is not None
        self._like = make_vector(env_id, num_envs, **options).unwrapped if native else None
        if not 1 <= shards <= num_envs:
            raise InvalidValueError(f"{shards} shards for {num_envs} members; take from 1 to {num_envs}")
        self.num_envs = num_envs
        self._env_id, self._options = env_id, options
        self._begun = False
        self.render_mode = options.get("render_mode")
        self.metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.SAME_STEP}
        self._edges = np.linspace(0, num_envs, shards + 1).astype(int)
        say_what_trains(str(options.get("engine", "auto")))
        context = multiprocessing.get_context("spawn")
        self._workers = []
        self._pipes: list[Connection] = []
        for shard in range(shards):
            ours, theirs = context.Pipe()
            size = int(self._edges[shard + 1] - self._edges[shard])
            worker = context.Process(
                target=_work, args=(theirs, env_id, size, options), name=f"{env_id} shard {shard}", daemon=True
            )
            worker.start()
            theirs.close()
            self._workers.append(worker)
            self._pipes.append(ours)
        try:
            spaces = self._gather()
        except BaseException:
            self.close_extras()
            raise
        self.single_observation_space, self.single_action_space = spaces[0]
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """As in the native vector environment."""
        seeds = member_seeds(seed, self.num_envs)
        if not isinstance(self._like, MetaGANVectorEnv):
            self._each("reset", lambda part: {"seed": seeds[part], "options": options})
        else:
            asked = Reset.of(options, self.num_envs, self._like.split, first=not self._begun)
            mask, given = asked.mask, {"tasks": asked.tasks, "gan_seeds": asked.gan_seeds}
            before = np.append(0, mask.cumsum())  # members that are reset before each one
            for shard, part in enumerate(self._parts()):
                of_reset = slice(before[part.start], before[part.stop])
                own = {name: values[of_reset] for name, values in given.items() if values is not None}
                arguments = {"seed": seeds[part], "options": {"reset_mask": mask[part], **own}}
                if mask[part].any():
                    self._send(shard, "reset", arguments)
                else:
                    self._send(shard, "look", {"mask": mask[part]})
        observations, infos = zip(*self._gather(), strict=True)
        self._begun = True
        return np.concatenate(observations), _joined(infos)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Trains every member for one interval, all shards at once."""
        if isinstance(self._like, MetaGANVectorEnv) and self._begun:
            actions = self._like.codec.checked(actions, self.num_envs)  # no shard goes on without the others
        self._each("step", lambda part: {"actions": actions[part]})
        parts = list(zip(*self._gather(), strict=True))
        observations, rewards, terminated, truncated = (np.concatenate(part) for part in parts[:4])
        return observations, rewards, terminated, truncated, _joined(_with_finals(parts[4], self._edges))

    def get_state(self) -> dict[str, Any]:
        """The states of all shards, as plain data; see :class:`MetaGANVectorEnv`."""
        return {"shards": self._call("get_state")}

    def set_state(self, state: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Goes on from a state; returns what ``reset`` would.

        Raises:
            InvalidValueError: the state is damaged, or of other shards.
        """
        states = state.get("shards")
        if not isinstance(states, list) or len(states) != len(self._pipes):
            count = len(states) if isinstance(states, list) else "no"
            raise InvalidValueError(f"the state is of {count} shards; this environment has {len(self._pipes)}")
        for shard, own in enumerate(states):
            self._send(shard, "set_state", {"state": own})
        observations, infos = zip(*self._gather(), strict=True)
        self._begun = True
        return np.concatenate(observations), _joined(infos)

    def clone(self, **changes: Any) -> "ShardedVectorEnv":
        """An independent environment with workers of its own, in the same state; some options may be changed."""
        made = ShardedVectorEnv(self._env_id, self.num_envs, len(self._pipes), **{**self._options, **changes})
        try:
            made.set_state(self.get_state())
        except BaseException:
            made.close()
            raise
        return made

    def action_masks(self) -> np.ndarray:
        """As in the native vector environment."""
        return np.concatenate(self._call("action_masks"))

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A picture of each member."""
        frames = self._call("render")
        return None if frames[0] is None else tuple(frame for part in frames for frame in part)

    def close_extras(self, **kwargs: Any) -> None:
        """Stops the workers."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(("close", {}))
        for pipe, worker in zip(self._pipes, self._workers, strict=True):
            worker.join(timeout=5)
            if worker.is_alive():
                worker.kill()
                worker.join()
            pipe.close()

    def _call(self, command: str) -> list[Any]:
        """The answers of all shards to a method without arguments."""
        self._each(command, lambda part: {})
        return self._gather()

    def _parts(self) -> list[slice]:
        """The members of each shard."""
        return [slice(first, end) for first, end in itertools.pairwise(self._edges.tolist())]

    def _each(self, command: str, arguments: Callable[[slice], dict[str, Any]]) -> None:
        for shard, part in enumerate(self._parts()):
            self._send(shard, command, arguments(part))

    def _send(self, shard: int, command: str, arguments: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # a dead worker is reported when its answer is awaited
            self._pipes[shard].send((command, arguments))

    def _gather(self) -> list[Any]:
        answers: list[Any] = []
        refused: MetaGANError | None = None
        for pipe, worker in zip(self._pipes, self._workers, strict=True):
            try:
                while not pipe.poll(ANSWER_SECONDS):
                    if not worker.is_alive() and not pipe.poll(0):
                        raise EOFError
                kind, answer = pipe.recv()
            except (EOFError, OSError):
                worker.join(timeout=5)
                if worker.exitcode == UNGUARDED:
                    raise WorkerError(
                        "worker processes import your script and came to this line again; put the code that begins "
                        "training under: if __name__ == '__main__':"
                    ) from None
                raise WorkerError(f"worker process {worker.name!r} ended with exit code {worker.exitcode}") from None
            if kind == "error":
                error, trace = answer
                if not isinstance(error, MetaGANError):
                    raise WorkerError(f"worker process {worker.name!r} failed:\n{trace}")
                refused = refused or error  # keep reading: the other answers must not stay in their pipes
            answers.append(answer)
        if refused is not None:
            raise refused
        return answers


def _work(pipe: Connection, env_id: str, num_envs: int, options: dict[str, Any]) -> None:
    from metagan_rl.runtime import prepare_process

    prepare_process()
    try:
        env = make_vector(env_id, num_envs, **options)
        pipe.send(("spaces", (env.single_observation_space, env.single_action_space)))
        while True:
            command, arguments = pipe.recv()
            if command == "close":
                break
            try:
                pipe.send(("answer", getattr(env, command)(**arguments)))
            except MetaGANError as error:  # a caller's mistake; the worker can go on
                pipe.send(("error", (error, "")))
    except (EOFError, KeyboardInterrupt, BrokenPipeError):
        pass  # the parent is gone, or has asked to stop
    except Exception as error:  # the parent waits for an answer, so send it any error
        message = error if isinstance(error, MetaGANError) else None
        with contextlib.suppress(OSError):  # the parent may have stopped because of another worker's error
            pipe.send(("error", (message, traceback.format_exc())))


def _with_finals(infos: Sequence[dict[str, Any]], edges: np.ndarray) -> list[dict[str, Any]]:
    """Gives every shard's infos the entries of finished episodes if any shard has them."""
    if not any("final_obs" in info for info in infos):
        return list(infos)
    whole = []
    for shard, info in enumerate(infos):
        size = int(edges[shard + 1] - edges[shard])
        none = np.zeros(size, dtype=bool)
        if "final_obs" not in info:
            obs = np.full(size, None, dtype=object)
            info = {**info, "final_info": info, "_final_info": none, "final_obs": obs, "_final_obs": none}
        whole.append(info)
    return whole


def _joined(infos: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: _joined([info[name] for info in infos])
        if isinstance(value, dict)
        else np.concatenate([info[name] for info in infos])
        for name, value in infos[0].items()
    }
