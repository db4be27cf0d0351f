"""The GANs of a population as a user of JAX would write them for one core; needs the extra ``peers``.

A GAN's interval is a ``lax.scan`` over pairs of updates, and ``lax.map`` takes one GAN after the other. On one core that
is faster than ``vmap`` over the GANs, by a sixth to a half. Gradients are JAX's own. Nothing is recorded.
"""

import os
from functools import partial
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "1")  # XLA counts this many cores, and starts a thread for each
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.nn import leaky_relu, softplus

from metagan_rl.experiments.studies.separate import UPDATES
from metagan_rl.tasks import Task

Tree = Any
"""Weights of one network: a list of pairs, ``[inputs, outputs]`` and ``[outputs]``."""


class JaxTwins:
    """B GANs with MLPs, trained 48 updates at a time, at ratio 1:1, by one compiled call.

    Args:
        task: what to train on.
        members: B.
        loss: ``"non-saturating"`` or ``"wgan"``.
        penalty_weight: of R1 + R2, or with ``"wgan"`` of the one-centred penalty; 0 for none.
    """

    def __init__(self, task: Task, members: int, loss: str = "non-saturating", penalty_weight: float = 0.0) -> None:
        self.data = jnp.asarray(task.data().train.numpy())
        self.key, start = random.split(random.key(0))
        self.states = jax.vmap(partial(_start, task))(random.split(start, members))
        interval = partial(_interval, task, loss, penalty_weight)
        compiled = jax.jit(lambda data, states, keys: lax.map(lambda each: interval(data, *each), (states, keys)))
        self._train = compiled.lower(self.data, self.states, random.split(self.key, members)).compile()
        self.members = members

    def train(self) -> None:
        """Trains every GAN for 48 updates."""
        self.key, key = random.split(self.key)
        self.states = jax.block_until_ready(self._train(self.data, self.states, random.split(key, self.members)))

    def sample(self, noise: Any) -> Any:
        """Points ``[B, N, D]`` of the averaged generators from noise ``[N, Z]``."""
        return jax.vmap(_network, in_axes=(0, None))(self.states["average"], jnp.asarray(noise))


def _network(weights: Tree, values: Any) -> Any:
    for matrix, bias in weights[:-1]:
        values = leaky_relu(values @ matrix + bias, 0.2)
    matrix, bias = weights[-1]
    return values @ matrix + bias


def _start(task: Task, key: Any) -> dict[str, Any]:
    shape = task.networks
    hidden = [shape.width] * shape.depth

    def fresh(key: Any, sizes: list[int]) -> Tree:
        keys = random.split(key, len(sizes) - 1)
        pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
        return [(random.normal(each, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b)) for each, a, b in pairs]

    one, other = random.split(key)
    generator, discriminator = fresh(one, [shape.latent_dim, *hidden, task.dim]), fresh(other, [task.dim, *hidden, 1])
    return {
        "generator": _with_moments(generator),
        "discriminator": _with_moments(discriminator),
        "average": generator,
        "steps": jnp.zeros(()),
    }


def _with_moments(weights: Tree) -> tuple[Tree, Tree, Tree]:
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, zeros, zeros


def _interval(task: Task, loss: str, penalty_weight: float, data: Any, state: dict[str, Any], key: Any) -> Any:
    pair = partial(_pair, task, loss, penalty_weight, data)
    return lax.scan(lambda state, key: (pair(state, key), None), state, random.split(key, UPDATES // 2))[0]


def _pair(task: Task, loss: str, penalty_weight: float, data: Any, state: dict[str, Any], key: Any) -> dict[str, Any]:
    """One update of D, and then one of G."""
    base, latent = task.base, task.networks.latent_dim
    rows, noise, more_noise, mix = random.split(key, 4)
    steps, generator = state["steps"] + 1, state["generator"][0]
    real = data[random.randint(rows, (base.batch_size,), 0, len(data))]
    fake = _network(generator, random.normal(noise, (base.batch_size, latent)))

    def of_discriminator(weights: Tree) -> Any:
        logits = _network(weights, jnp.concatenate([real, fake]))[:, 0]
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        wgan = loss == "wgan"
        each = fake_logits - real_logits if wgan else softplus(-real_logits) + softplus(fake_logits)
        if not penalty_weight:
            return each.mean()
        share = random.uniform(mix, (len(real), 1))
        points = real + share * (fake - real) if wgan else jnp.concatenate([real, fake])
        slopes = jax.grad(lambda points: _network(weights, points).sum())(points)
        square = (slopes**2).sum(axis=1)
        penalty = ((jnp.sqrt(square + 1e-12) - 1) ** 2).mean() if wgan else square.mean()
        return each.mean() + penalty_weight * penalty

    def of_generator(weights: Tree) -> Any:
        points = _network(weights, random.normal(more_noise, (base.batch_size, latent)))
        logits = _network(discriminator[0], points)
        return (-logits if loss == "wgan" else softplus(-logits)).mean()

    moments = base.beta1, base.beta2
    gradient = jax.grad(of_discriminator)(state["discriminator"][0])
    discriminator = _adam(*state["discriminator"], gradient, steps, base.discriminator_lr, *moments)
    trained = _adam(*state["generator"], jax.grad(of_generator)(generator), steps, base.generator_lr, *moments)
    average = jax.tree.map(lambda a, b: a + (1 - base.ema_decay) * (b - a), state["average"], trained[0])
    return {"generator": trained, "discriminator": discriminator, "average": average, "steps": steps}


def _adam(
    weights: Tree, first: Tree, second: Tree, gradient: Tree, steps: Any, rate: float, beta1: float, beta2: float
) -> tuple[Tree, Tree, Tree]:
    first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradient)
    large, small = 1 - beta1**steps, 1 - beta2**steps
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / large) / (jnp.sqrt(v / small) + 1e-8), weights, first, second
    )
    return weights, first, second
