"""One side's settings as a PyTorch script that runs as it is: the loop, its rates, and the scheduler's lines."""

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from metagan_rl.agents.plugin.quality import QUALITY_PARTS
from metagan_rl.errors import InvalidValueError
from metagan_rl.experiments.watch.match import Match
from metagan_rl.populations.settings import RATIOS

PAGE = Path(__file__).parent / "page"
TEMPLATE = "recipe.py.j2"
LOSSES = {
    "non-saturating": ("softplus(-real).mean() + softplus(fake).mean()", "softplus(-judged).mean()"),
    "hinge": ("relu(1 - real).mean() + relu(1 + fake).mean()", "-judged.mean()"),
    "lsgan": ("(real - 1).square().mean() + fake.square().mean()", "(judged - 1).square().mean()"),
    "wgan": ("fake.mean() - real.mean()", "-judged.mean()"),
    "rpgan": ("softplus(fake - real).mean()", "softplus(D(draw()) - judged).mean()"),
}
"""D's loss in PyTorch, of the logits ``real`` and ``fake``, and G's, of ``judged``."""


def recipe(match: Match, place: int, files: Mapping[str, Path] | None = None) -> str:
    """The script of one side.

    The rates are what the networks really train with: the base, times the factors in force, times what is hidden. Where
    a scheduler decides, its line stands in place of the factors.

    Args:
        match: the match.
        place: 0 for the left side, 1 for the right one.
        files: files of schedulers that have no registered name.

    Raises:
        InvalidValueError: the loss in force is not one of the package's own.
    """
    side, task = match.sides[place], match.runs.tasks[place]
    controls = side.controls.describe(0)
    loss, ratio = str(controls["loss"]), str(controls["ratio"])
    if loss not in LOSSES:
        raise InvalidValueError(f"loss {loss!r} is your own; its formula in PyTorch is in your own code")
    d_steps, g_steps = RATIOS[ratio]
    d_loss, g_loss = LOSSES[loss]
    scheduled = side.hand is None and side.name != "constant"
    needs = [part for part, signals in QUALITY_PARTS.items() if set(signals) & set(side.scheduler.needs)]
    generator_hidden, discriminator_hidden = match.runs.hidden_factors[place]
    if not scheduled:
        generator_hidden *= float(controls["generator_lr_factor"])
        discriminator_hidden *= float(controls["discriminator_lr_factor"])
    networks, own = task.networks, (files or {}).get(side.name)
    environment = Environment(
        loader=FileSystemLoader(PAGE), trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template(TEMPLATE).render(
        setting=match.setting,
        task=task,
        base=task.base,
        latent=networks.latent_dim,
        held=side.name if side.hand is None else "a hand",
        updates=match.updates,
        generator=_layers(networks.latent_dim, networks.width, networks.depth, task.dim),
        discriminator=_layers(task.dim, networks.width, networks.depth, 1),
        beta1=controls["beta1"],
        generator_lr=task.base.generator_lr * generator_hidden,
        discriminator_lr=task.base.discriminator_lr * discriminator_hidden,
        rounds=max(1, task.budget // (d_steps + g_steps)),
        scheduler=json.dumps(str(own.resolve()) if own else side.name, ensure_ascii=False) if scheduled else "",
        quality=needs if scheduled else [],
        loss=loss,
        ratio=ratio,
        weight=float(controls["penalty_weight"]),
        d_steps=d_steps,
        g_steps=g_steps,
        d_loss=d_loss,
        g_loss=g_loss,
    )


def _layers(inputs: int, width: int, depth: int, outputs: int) -> str:
    """The layers of a perceptron, as they are written in PyTorch."""
    hidden = [f"Linear({before}, {width}), LeakyReLU(0.2)" for before in (inputs, *[width] * (depth - 1))]
    return ", ".join([*hidden, f"Linear({width}, {outputs})"])
