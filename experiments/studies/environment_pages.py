"""A page for each environment, from the table: ``python -m metagan_rl.experiments.studies.environment_pages``."""

import math

import gymnasium as gym

from metagan_rl.envs.registration import TABLE, Environment
from metagan_rl.experiments.studies.command import write_pages
from metagan_rl.loop.knobs import ChoiceKnob, Knob, NumberKnob
from metagan_rl.loop.scales import FactorScale
from metagan_rl.tasks import get_suite

REWARDS = {
    "steady": """\
The reward of an interval is `log(distance before / distance after)`. Over a run it adds up to log(start / end). Taken
off are four stability terms in [0, 1]: saturation, vanishing gradient, oscillation and mode loss. A run costs the mean
of each term over its budget, whatever the length of its intervals. Each term is in `info["reward_terms"]`. Distance is
sliced Wasserstein + 1 - F(precision, coverage). A run that diverges is never better than one that goes on.""",
    "quality": """\
The reward of an interval is `log(distance before / distance after)`. Over a run it adds up to log(start / end). Taken
off is 0.005 times each of four stability terms in [0, 1]: saturation, vanishing gradient, oscillation and mode loss.
Each term is in `info["reward_terms"]`. Distance is sliced Wasserstein + 1 - F(precision, coverage). A run that diverges
is never better than one that goes on.""",
    "bounded": """\
The reward of an interval is `log(distance before / distance after)`. Over a run it adds up to log(start / end).
Distances below a hundredth of the starting distance count as this hundredth. So no run earns more than log 100 = 4.6,
and every run that gets there and stays earns it. A run that diverges is never better than one that goes on.""",
}
"""The section on rewards, by the name of the latest version's reward."""
ARGUMENTS = """\
`split`, `horizon`, `interval_updates`, `decisions`, `knobs`, `control`, `lr_levels`, `actions`, `reference`, `pace`,
`price`, `signals`, `privileged`, `trial_runs`, `trial_reward`, `reward`, `initial_weights`, `device`, `engine`,
`noise`, `render_mode`. `metagan_rl.envs.MetaGANVectorEnv` says what each means."""
ACTIONS = {
    "joint-moves": "each control is kept (0) or moved down (1) or up (2)",
    "discrete": "a departure of each control: level 0 is the reference, 2n - 1 and 2n are n steps below and above it",
    "moves": "one control is moved: 0 keeps all, 1 + 2n and 2 + 2n move control n down and up",
    "continuous-moves": "each departure changes by the number times `pace`",
}
"""What one member's action means, by kind."""


def page(environment: Environment) -> str:
    """The page of one environment, Markdown under Gymnasium's headings."""
    env = gym.make(environment.id).unwrapped
    vector = env.vector  # type: ignore[attr-defined]  # a MetaGANEnv
    observations, actions = vector.single_observation_space, vector.single_action_space
    suite = get_suite(environment.suite)
    sizes = ", ".join(f"{len(tasks)} in `{split}`" for split, tasks in suite.splits.items())
    options = vector.options
    each = {task.budget: task for split in suite.splits.values() for task in split}
    if options.decisions is None:
        lengths = ", ".join(
            f"{budget:,} updates in {options.intervals(task)} intervals of {options.interval(task)}"
            for budget, task in sorted(each.items())
        )
    else:
        lengths = f"{min(each):,} to {max(each):,} updates, always in {options.decisions} intervals"
    rows = "\n".join(_row(number, knob, vector.codec.pace) for number, knob in enumerate(vector.codec.knobs))
    ids = "\n".join(_kind(name) for name in environment.ids() if name.endswith(f"-v{len(environment.versions) - 1}"))
    reward = REWARDS[str(environment.versions[-1]["reward"])]
    reference = f"`{environment.versions[-1]['reference']}`"
    versions = "\n".join(f"* v{number}: {_version(options)}" for number, options in enumerate(environment.versions))
    return f"""\
# {environment.id}

## Description
{environment.about}

Suite `{environment.suite}`, version {suite.version}: {sizes}.

## Action Space
`{actions}`. Actions depart from a reference, {reference} by default: with all zeros the run follows it. A run begins at
the reference. The last column says how far a control can depart, and by how much one move.

| id | action space | an action |
|---|---|---|
{ids}

| Num | Control | Meaning | Departure |
|---|---|---|---|
{rows}

`reference=` takes the name of a scheduler (`"constant"` is the task's own base), a schedule file or a policy file.
`reference=None` with `actions="discrete"` or `"continuous"` sets the values of controls instead. Finite numbers outside
a box are clipped, NaN is refused.

## Observation Space
`Box` of {observations.shape[0]} unit-free numbers, float32, each clipped to its range: [the table](../signals.md). The
last {len(vector.codec.knobs)} are the departures from the reference; without a reference they are missing. With
`trial_runs` the previous action, the previous reward (tanh) and a run-boundary flag follow.

## Rewards
{reward}

## Reference Scores
{_scores(environment)}

## Evaluation
{_evaluation(environment)}

## Starting State
A task of the split and fresh weights, both drawn by the environment's generator. `reset(options=...)` takes `task` and
`gan_seed`.

## Episode End
Termination: the budget is spent ({lengths}), or the GAN diverged (`info["diverged"]`). Truncation: only by
`max_episode_steps`.

## Arguments
{ARGUMENTS}

## Vectorized environment
`gymnasium.make_vec("{environment.id}", num_envs=64)` trains all members side by side. All three autoreset modes work.

## Version History
{versions}
"""


def _scores(environment: Environment) -> str:
    if not environment.scores:
        return "Not measured yet."
    words = ", ".join(
        f"{name} {value:g}" if " " in name else f"`{name}` {value:g}" for name, value in environment.scores.items()
    )
    threshold = gym.spec(environment.id).reward_threshold
    return f"Mean return on the test split: {words}. `reward_threshold` is {threshold:g}."


def _evaluation(environment: Environment) -> str:
    trials = next(name for name in environment.ids() if "-Trials" in name)
    tasks, runs = len(get_suite(environment.suite).split("test")), gym.spec(trials).kwargs["trial_runs"]
    return f"""\
`metagan-rl evaluate --env {trials} --agent AGENT` plays an episode of {runs} runs on each of the {tasks} test tasks,
`--env {environment.id}` one of a single run. Seeds are the same for everybody. Each run is scored by `info["score"]`,
log(start / distance) / log(start / floor): 0 for the untrained GAN, 1 at the floor. That is the distance of real points
to other real points, or the reward's own floor if that is higher. `metagan_rl.experiments.evaluate_agent` does the same
for any agent: [the scoreboard](../scoreboard.md)."""


def _kind(name: str) -> str:
    spec = gym.spec(name)
    space = gym.make(name).action_space
    trials = f"; {spec.kwargs['trial_runs']} runs on each task (RL²)" if "trial_runs" in spec.kwargs else ""
    return f"| `{name}` | `{space}` | {ACTIONS[str(spec.kwargs['actions'])]}{trials} |"


def _row(number: int, knob: Knob, pace: float) -> str:
    return f"| {number} | `{knob.name}` | {knob.meaning} | {_departure(knob, pace)} |"


def _departure(knob: Knob, pace: float) -> str:
    if isinstance(knob, ChoiceKnob):
        names = ", ".join(knob.levels)
        return f"as the reference, or {names}" if knob.cyclic else f"{knob.steps} steps either way, by one, in {names}"
    assert isinstance(knob, NumberKnob)
    far = knob.scale.farthest
    if isinstance(knob.scale, FactorScale):
        return f"by a factor of {math.exp(far):.3g} either way, by {math.exp(far * pace):.3g}"
    return f"by {far:.3g} in log(1 + {1 / knob.scale.unit:g} weight), by {far * pace:.3g}"  # type: ignore[attr-defined]


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


if __name__ == "__main__":
    write_pages(pages(), "docs/environments")
