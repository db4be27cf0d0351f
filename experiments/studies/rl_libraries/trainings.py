"""Checks that call a library: its conformance tests, and short trainings."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym

import metagan_rl  # noqa: F401  (registers the environments)
from metagan_rl.experiments.studies.rl_libraries.check import SHORT, Check, CheckFailed, Place

MOVES, BOX, JOINT, TRIALS = "Ring8-Moves-v2", "Ring8-Box-v2", "Ring8-v2", "Ring8-Trials-v2"
KINDS = (JOINT, MOVES, BOX)
"""One id for each kind of action space: multi-discrete, discrete, continuous."""


def expect(condition: bool, problem: str) -> None:
    """Raises what a check raises unless the condition holds."""
    if not condition:
        raise CheckFailed(problem)


def sb3_checker(place: Place) -> str:
    """``check_env`` of Stable-Baselines3."""
    from stable_baselines3.common.env_checker import check_env

    for name in (*KINDS, TRIALS):
        check_env(gym.make(f"MetaGAN/{name}", **SHORT).unwrapped, skip_render_check=True)
    return f"{len(KINDS) + 1} ids"


def sb3_training(algorithm: str, name: str, place: Place, **options: Any) -> str:
    """A short training on what Stable-Baselines3's own ``make_vec_env`` makes of an id."""
    import sb3_contrib
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env

    kind = getattr(stable_baselines3, algorithm, None) or getattr(sb3_contrib, algorithm)
    env = make_vec_env(f"metagan_rl:MetaGAN/{name}", n_envs=2, seed=0, env_kwargs=SHORT)
    try:
        recurrent = algorithm == "RecurrentPPO"
        model = kind("MlpLstmPolicy" if recurrent else "MlpPolicy", env, seed=0, device="cpu", **options).learn(32)
        model.save(place.scratch / "agent")
        kind.load(place.scratch / "agent", env=env).predict(env.reset())
        return f"{model.num_timesteps} steps, saved and loaded"
    finally:
        env.close()


ON_POLICY = {"n_steps": 8, "batch_size": 8, "n_epochs": 1}
OFF_POLICY = {"learning_starts": 8, "batch_size": 8, "buffer_size": 64}


def _rolled_out(make: Callable[[str], Any], members: int) -> str:
    from torchrl.envs.utils import check_env_specs

    for name in KINDS:
        env = make(name)
        check_env_specs(env)
        steps = env.rollout(2 * SHORT["horizon"] + 1, break_when_any_done=False)
        done = int(steps["next", "done"].sum())
        expect(done == 2 * members, f"{name}: {done} ends in two episodes of {members} members")
        env.close()
    return f"{len(KINDS)} ids"


def torchrl_single(place: Place) -> str:
    """Torchrl's ``check_env_specs`` on ``GymEnv``, and rollouts over the ends of episodes."""
    from torchrl.envs import GymEnv

    return _rolled_out(lambda name: GymEnv(f"metagan_rl:MetaGAN/{name}", flat_info=True, **SHORT), 1)


def torchrl_vector(place: Place) -> str:
    """Torchrl's ``check_env_specs`` on ``GymWrapper`` around the native vector environment."""
    from torchrl.envs import GymWrapper

    return _rolled_out(lambda n: GymWrapper(gym.make_vec(f"MetaGAN/{n}", num_envs=3, flat_info=True, **SHORT)), 3)


def torchrl_workers(place: Place) -> str:
    """Torchrl's ``GymEnv`` with environments in worker processes of Gymnasium's."""
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs

    env = GymEnv(f"metagan_rl:MetaGAN/{BOX}", num_envs=2, flat_info=True, **SHORT)
    try:
        check_env_specs(env)
    finally:
        env.close()
    return "2 worker processes"


def torchrl_collector(place: Place) -> str:
    """Torchrl's data collector on the native vector environment: what its trainings learn from."""
    from torchrl.collectors import Collector
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import RandomPolicy

    env = GymWrapper(gym.make_vec(f"MetaGAN/{BOX}", num_envs=3, flat_info=True, **SHORT))
    collector = Collector(env, RandomPolicy(env.action_spec), frames_per_batch=12, total_frames=36)
    frames = sum(batch.numel() for batch in collector)
    collector.shutdown()
    expect(frames == 36, f"{frames} frames")
    return f"{frames} frames"


def tianshou_training(algorithm: str, name: str, place: Place, *, workers: bool = False) -> str:
    """A short training by tianshou's high-level interface, which takes an id and options."""
    from tianshou.highlevel import config, experiment
    from tianshou.highlevel.env import EnvFactoryRegistered, VectorEnvType

    venv = VectorEnvType.SUBPROC if workers else VectorEnvType.DUMMY
    env = EnvFactoryRegistered(task=f"metagan_rl:MetaGAN/{name}", venv_type=venv, **SHORT)
    settings = experiment.ExperimentConfig(watch=False, persistence_enabled=False, log_file_enabled=False)
    sizes: dict[str, Any] = {
        "max_epochs": 1, "epoch_num_steps": 32, "num_training_envs": 2, "num_test_envs": 2, "buffer_size": 64,
        "collection_step_num_env_steps": 16, "batch_size": 8,
    }  # fmt: skip
    made: Any
    if algorithm == "PPO":
        made = experiment.PPOExperimentBuilder(env, settings, config.OnPolicyTrainingConfig(**sizes))
        made = made.with_actor_factory_default([16]).with_critic_factory_default([16])
    elif algorithm == "SAC":
        made = experiment.SACExperimentBuilder(env, settings, config.OffPolicyTrainingConfig(**sizes))
        made = made.with_actor_factory_default([16]).with_common_critic_factory_default([16])
    else:
        made = experiment.DQNExperimentBuilder(env, settings, config.OffPolicyTrainingConfig(**sizes))
        made = made.with_model_factory_default([16])
    best = made.build().run().trainer_result.best_score
    expect(math.isfinite(best), f"the best score is {best}")
    return "an epoch of 32 steps"


def skrl_training(make: Callable[..., Any], place: Place) -> str:
    """A short training by skrl's runner, with its own PPO and models, on each kind of action space."""
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.utils.runner.torch import Runner

    network = [{"name": "net", "input": "OBSERVATIONS", "layers": [16], "activations": "elu"}]
    for name, policy in zip(KINDS, ("MultiCategoricalMixin", "CategoricalMixin", "GaussianMixin"), strict=True):
        value = {"class": "DeterministicMixin", "network": network, "output": "ONE"}
        actor = {"class": policy, "network": network, "output": "ACTIONS"}
        files = {"directory": str(place.scratch), "write_interval": 0, "checkpoint_interval": 0}
        agent = {"class": "PPO", "rollouts": 8, "learning_epochs": 1, "mini_batches": 2, "experiment": files}
        trainer = {
            "class": "SequentialTrainer", "timesteps": 16, "disable_progressbar": True,
            "close_environment_at_exit": False,
        }  # fmt: skip
        config = {
            "seed": 1,
            "models": {"separate": True, "policy": actor, "value": value},
            "memory": {"class": "RandomMemory", "memory_size": -1},
            "agent": agent,
            "trainer": trainer,
        }
        env = make(f"MetaGAN/{name}", **SHORT)
        Runner(wrap_env(env, verbose=False), config).run("train")
        env.close()
    return f"{len(KINDS)} ids, 16 steps each"


def _sb3(library: str, algorithm: str, name: str, **options: Any) -> Check:
    act = partial(sb3_training, algorithm, name, **options)
    module = library.replace("-", "_")
    return Check(library, f"{algorithm} on `make_vec_env`", (name,), act, (module,), light=True)


def _torchrl(what: str, ids: tuple[str, ...], act: Callable[[Place], str], light: bool = True) -> Check:
    return Check("torchrl", what, ids, act, ("torchrl",), light=light)


def _tianshou(algorithm: str, name: str, *, workers: bool = False) -> Check:
    act = partial(tianshou_training, algorithm, name, workers=workers)
    what = f"{algorithm}, high-level interface{', worker processes' if workers else ''}"
    return Check("tianshou", what, (name,), act, ("tianshou", "rliable"), light=not workers)


CHECKS = (
    Check("stable-baselines3", "`check_env`", (*KINDS, TRIALS), sb3_checker, ("stable_baselines3",), light=True),
    _sb3("stable-baselines3", "PPO", JOINT, **ON_POLICY),
    _sb3("stable-baselines3", "A2C", BOX),
    _sb3("stable-baselines3", "DQN", MOVES, **OFF_POLICY),
    _sb3("stable-baselines3", "SAC", BOX, **OFF_POLICY),
    _sb3("sb3-contrib", "RecurrentPPO", TRIALS, **ON_POLICY),
    _sb3("sb3-contrib", "TQC", BOX, **OFF_POLICY),
    _torchrl("`check_env_specs` of `GymEnv`", KINDS, torchrl_single),
    _torchrl("`check_env_specs` of `GymWrapper(make_vec(...))`", KINDS, torchrl_vector),
    _torchrl("`check_env_specs` of `GymEnv(num_envs=2)`", (BOX,), torchrl_workers, light=False),
    _torchrl("`Collector` on `make_vec`", (BOX,), torchrl_collector),
    _tianshou("PPO", BOX),
    _tianshou("PPO", MOVES, workers=True),
    _tianshou("DQN", MOVES),
    _tianshou("SAC", BOX),
    Check("skrl", "PPO by `Runner`, `make`", KINDS, partial(skrl_training, gym.make), ("skrl",), light=True),
    Check(
        "skrl", "PPO by `Runner`, `make_vec`", KINDS,
        partial(skrl_training, partial(gym.make_vec, num_envs=2)), ("skrl",), light=True,
    ),
)  # fmt: skip
