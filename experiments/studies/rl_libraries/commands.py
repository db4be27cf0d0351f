"""Checks that run a command: a library's own tests, its command line, its scripts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metagan_rl.experiments.studies.gymnasium_tests import counts
from metagan_rl.experiments.studies.rl_libraries.check import SHORT, Check, CheckFailed, Place
from metagan_rl.experiments.studies.rl_libraries.trainings import BOX, JOINT, MOVES, expect

ROOT = Path(__file__).resolve().parents[3]
"""The checkout of this library."""
SB3_VECTORS = ("test_vec_envs.py", "test_vec_monitor.py")
SB3_TRAININGS = ("test_predict.py", "test_run.py", "test_deterministic.py", "test_train_eval_mode.py")
SB3_LEFT_OUT = "not (custom_calls and bridge) and not video_recorder and not ppo_warnings"
"""Our bridge acts on all members or refuses. The last two have CartPole's name and the size of Pendulum's rewards
written into them."""
SB3_IDS = """\
from metagan_rl.envs import register_environment

SHORT = {"horizon": 16, "interval_updates": 12, "reference": "constant", "reward": "steady"}
register_environment("Short/Moves-v0", "ring8", actions="moves", **SHORT)
register_environment("Short/Box-v0", "ring8", actions="continuous-moves", knobs=["generator_lr_factor"], **SHORT)
"""
"""Short forms of our environments, the box with one number as Pendulum's, which ``test_deterministic.py`` counts on."""
SB3_INSTEAD = (("CartPole-v1", "short_ids:Short/Moves-v0"), ("Pendulum-v1", "short_ids:Short/Box-v0"))
SB3_CLASSES = "VEC_ENV_CLASSES = [DummyVecEnv, SubprocVecEnv]"
BRIDGE = f"""\
def bridge(functions):
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    from metagan_rl.envs import SB3VecEnv

    return SB3VecEnv(SyncVectorEnv(functions, autoreset_mode=AutoresetMode.SAME_STEP))


{SB3_CLASSES[:-1]}, bridge]"""
"""Adds our bridge to the vector environments that Stable-Baselines3 tests."""
CLEANRL_STEPS = ("--total-timesteps", "160", "--no-cuda")
CLEANRL_REPLAY = ("--learning-starts", "32", "--buffer-size", "100", "--batch-size", "8")
CLEANRL_ROLLOUT = ("--num-steps", "32", "--num-minibatches", "2")
GYMNASIUM_1 = (
    "TransformObservation(env, lambda obs: np.clip(obs, -10, 10))",
    "TransformObservation(env, lambda obs: np.clip(obs, -10, 10), env.observation_space)",
)
"""What Gymnasium 1 asks of a script that was written before it."""


def run_command(command: Sequence[str | Path], folder: Path, path: Sequence[Path] = ()) -> str:
    """Runs a command of this Python in a folder; what it printed.

    Raises:
        CheckFailed: it ended with an error; the message has its last line, and pytest's lines of what failed.
    """
    found = os.pathsep.join(str(each) for each in (*path, *sys.path) if str(each))
    environment = {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()
        told = [line for line in lines[:-1] if line.startswith("FAILED ")]
        raise CheckFailed("; ".join([*told, lines[-1]]) if lines else f"exit code {done.returncode}")
    return done.stdout + done.stderr


def sb3_tests(files: Sequence[str], place: Place) -> str:
    """Tests of Stable-Baselines3, with our ids in place of Gymnasium's and our bridge among its vector environments."""
    shutil.copytree(place.checkouts["stable-baselines3"] / "tests", place.scratch / "tests")
    (place.scratch / "short_ids.py").write_text(SB3_IDS, encoding="utf-8")
    for name in files:
        file = place.scratch / "tests" / name
        text = file.read_text(encoding="utf-8")
        expect(name != "test_vec_envs.py" or SB3_CLASSES in text, f"{name} does not hold {SB3_CLASSES}")
        for old, new in SB3_INSTEAD:
            text = text.replace(f'"{old}"', f'"{new}"')
        file.write_text(text.replace(SB3_CLASSES, BRIDGE), encoding="utf-8")
    options = ["-q", "-p", "no:cacheprovider", "-k", SB3_LEFT_OUT]
    said = run_command(["-m", "pytest", *options, *(f"tests/{name}" for name in files)], place.scratch, [place.scratch])
    found = counts("\n".join(line for line in said.splitlines() if " passed" in line))
    return f"{found['passed']} tests passed, {found.get('skipped', 0)} skipped by themselves"


def cleanrl(script: str, name: str, options: Sequence[str], place: Place) -> str:
    """A script of CleanRL, which takes an id and nothing else."""
    checkout = place.checkouts["cleanrl"]
    text = (checkout / "cleanrl" / script).read_text(encoding="utf-8")
    adapted = text.replace(*GYMNASIUM_1)
    (place.scratch / script).write_text(adapted, encoding="utf-8")
    command: list[str | Path] = [
        place.scratch / script,
        "--env-id",
        f"metagan_rl:MetaGAN/{name}",
        *CLEANRL_STEPS,
        *options,
    ]
    run_command(command, place.scratch, [checkout])
    expect(any(place.scratch.rglob("events*")), "it wrote no curves")
    return "160 steps" + (", one line made fit for Gymnasium 1" if adapted != text else "")


def zoo(algorithm: str, name: str, settings: str, place: Place) -> str:
    """rl-zoo3's command line: a training with evaluations."""
    file = place.scratch / "settings.py"
    file.write_text(
        f"hyperparams = {{'MetaGAN/{name}': dict(n_timesteps=64, policy='MlpPolicy', {settings})}}\n", encoding="utf-8"
    )
    short = [f"{option}:{value}" for option, value in SHORT.items()]
    command: list[str | Path] = [
        "-m", "rl_zoo3.train", "--algo", algorithm, "--env", f"MetaGAN/{name}", "--gym-packages", "metagan_rl",
        "--conf-file", file, "--eval-freq", "32", "--eval-episodes", "2", "--seed", "1",
        "--env-kwargs", *short, "--eval-env-kwargs", *short, "--log-folder", place.scratch / "logs",
    ]  # fmt: skip
    run_command(command, place.scratch)
    expect(any((place.scratch / "logs").rglob("best_model.zip")), "it saved no best model")
    return "64 steps, evaluated twice"


def rllib(place: Place) -> str:
    """``docs/examples/rllib_ppo.py`` as its test runs it, in a network namespace: Ray opens ports."""
    test = "tests/test_examples.py::test_rllib_ppo_runs_as_a_script"
    said = run_command(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", test], ROOT)
    expect("1 passed" in said, "no network namespace can be made here")
    return "two iterations of 64 steps"


def _sb3_tests(what: str, files: Sequence[str]) -> Check:
    act = partial(sb3_tests, files)
    return Check("stable-baselines3", what, (MOVES, BOX), act, ("stable_baselines3", "pytest"), checkout=True)


def _cleanrl(script: str, name: str, options: Sequence[str]) -> Check:
    act = partial(cleanrl, script, name, options)
    return Check("cleanrl", f"`{script}`", (name,), act, ("tensorboard",), checkout=True)


CHECKS = (
    _sb3_tests("its tests of vector environments", SB3_VECTORS),
    _sb3_tests("its tests of trainings and policies", SB3_TRAININGS),
    _cleanrl("ppo.py", MOVES, CLEANRL_ROLLOUT),
    _cleanrl("dqn.py", MOVES, CLEANRL_REPLAY),
    _cleanrl("ppo_continuous_action.py", BOX, CLEANRL_ROLLOUT),
    _cleanrl("sac_continuous_action.py", BOX, CLEANRL_REPLAY),
    Check(
        "rl-zoo3", "`python -m rl_zoo3.train --algo ppo`", (MOVES,),
        partial(zoo, "ppo", MOVES, "n_steps=16, batch_size=16"), ("rl_zoo3",), light=True,
    ),
    Check(
        "rl-zoo3", "`python -m rl_zoo3.train --algo sac`", (BOX,),
        partial(zoo, "sac", BOX, "learning_starts=16, batch_size=8"), ("rl_zoo3",), light=True,
    ),
    Check("ray", "RLlib's PPO (`docs/examples/rllib_ppo.py`)", (JOINT,), rllib, ("ray", "tree", "pytest")),
)  # fmt: skip
