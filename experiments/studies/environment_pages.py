"""A page for each environment, from the table: ``python -m metagan_rl.experiments.studies.environment_pages``."""

import sys
from pathlib import Path

import gymnasium as gym

from metagan_rl.envs.registration import TABLE, Environment
from metagan_rl.files import make_directory, write_whole
from metagan_rl.loop.knobs import ChoiceKnob, Knob
from metagan_rl.tasks import get_suite

REWARD = """\
The reward of an interval is `log(distance before / distance after)`. Over a run it adds up to log(start / end). Small
weights times four stability terms are taken off: saturation, vanishing gradient, oscillation and mode loss. Each term
is in `info["reward_terms"]`. Distance is sliced Wasserstein + 1 - F(precision, coverage). A run that diverges is never
better than one that goes on."""
ARGUMENTS = """\
`split`, `horizon`, `interval_updates`, `knobs`, `control`, `lr_levels`, `actions`, `signals`, `trial_runs`, `reward`,
`initial_weights`, `device`, `noise`, `render_mode`. `metagan_rl.envs.MetaGANVectorEnv` says what each means."""


def page(environment: Environment) -> str:
    """The page of one environment, Markdown under Gymnasium's headings."""
    env = gym.make(environment.id).unwrapped
    vector = env.vector  # type: ignore[attr-defined]  # a MetaGANEnv
    observations, actions = vector.single_observation_space, vector.single_action_space
    suite = get_suite(environment.suite)
    sizes = ", ".join(f"{len(tasks)} in `{split}`" for split, tasks in suite.splits.items())
    budgets = sorted({task.budget for split in suite.splits.values() for task in split})
    interval = vector.options.interval_updates
    lengths = ", ".join(f"{budget:,} updates in {budget // interval} intervals of {interval}" for budget in budgets)
    rows = "\n".join(_row(number, knob) for number, knob in enumerate(vector.codec.knobs))
    versions = "\n".join(f"* v{number}: {_version(options)}" for number, options in enumerate(environment.versions))
    return f"""\
# {environment.id}

## Description
{environment.about}

Suite `{environment.suite}`, version {suite.version}: {sizes}.

## Action Space
`{actions}` by default. `actions="continuous"` gives `Box(-1, 1, ({len(vector.codec.knobs)},))`. `actions="moves"` gives
`Discrete({1 + 2 * len(vector.codec.knobs)})`: 0 keeps all controls, 1 + 2n and 2 + 2n move control n by one level,
down and up.

| Num | Control | Meaning | Levels |
|---|---|---|---|
{rows}

## Observation Space
`Box` of {observations.shape[0]} unit-free signals, float32, each clipped to its range: [the table](../signals.md). With
`trial_runs` the previous action, the previous reward (tanh) and a run-boundary flag follow.

## Rewards
{REWARD}

## Starting State
A task of the split and fresh weights, both drawn by the environment's generator. `reset(options=...)` takes `task` and
`gan_seed`.

## Episode End
Termination: the budget is spent ({lengths}), or the GAN diverged (`info["diverged"]`). Truncation: never, but by
`max_episode_steps`.

## Arguments
{ARGUMENTS}

## Vectorized environment
`gymnasium.make_vec("{environment.id}", num_envs=64)` trains all members side by side. All three autoreset modes work.

## Version History
{versions}
"""


def _row(number: int, knob: Knob) -> str:
    words = ", ".join(knob.levels) if isinstance(knob, ChoiceKnob) else _numbers(knob.levels)
    return f"| {number} | `{knob.name}` | {knob.meaning} | {words} |"


def _numbers(levels: tuple[float, ...]) -> str:
    if len(levels) <= 9:
        return ", ".join(f"{level:.3g}" for level in levels)
    return f"{len(levels)} from {levels[0]:.3g} to {levels[-1]:.3g}, steps of {levels[1] / levels[0]:.3g}"


def _version(options: dict[str, object]) -> str:
    words = ", ".join(f"`{name}={value!r}`" for name, value in options.items())
    return f"made with {words}." if words else "the usual options."


def index() -> str:
    """The list of all environments."""
    rows = "\n".join(f"| [`{each.id}`]({each.name}.md) | `{each.suite}` | {each.about} |" for each in TABLE)
    return f"# Environments\n\n| id | suite | what is trained |\n|---|---|---|\n{rows}\n"


def pages() -> dict[str, str]:
    """All pages by the name of their file; an environment whose data are not here keeps the page that it has."""
    return {"README.md": index(), **{f"{each.name}.md": page(each) for each in TABLE}}


def main() -> None:
    """Writes them."""
    out = make_directory(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/environments"))
    for name, text in pages().items():
        write_whole(out / name, text)
        print(out / name)


if __name__ == "__main__":
    main()
