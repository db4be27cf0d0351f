"""The GANs of a population as a user of JAX would write them for one core; needs the extra ``peers``.

A GAN's interval is a ``lax.scan`` over pairs of updates, and ``lax.map`` takes one GAN after the other. On one core
that is faster than ``vmap`` over the GANs, by a tenth to a fifth. Gradients are JAX's own. Nothing is recorded.
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
Moving = tuple[Tree, Tree, Tree]
"""Weights, and the means of their gradients and squared gradients."""
State = dict[str, Any]
"""A GAN: ``generator`` and ``discriminator``, each :data:`Moving`; ``average``, a tree; and ``steps`` of each."""
Drawn = tuple[Any, Any, Any, Any]
"""What is drawn for a pair of updates: real points, noise of D's update and of G's, and shares of a mix."""


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
        self.key, fresh = random.split(random.key(0))
        self.states = jax.vmap(partial(start, task))(random.split(fresh, members))
        interval = partial(_interval, task, loss, penalty_weight)
        compiled = jax.jit(lambda data, states, keys: lax.map(lambda each: interval(data, *each), (states, keys)))
        self._train = compiled.lower(self.data, self.states, random.split(self.key, members)).compile()
        self.members = members

    def train(self) -> None:
        """Trains every GAN for 48 updates."""
        self.key, key = random.split(self.key)
        self.states = jax.block_until_ready(self._train(self.data, self.states, random.split(key, self.members)))


def _network(weights: Tree, values: Any) -> Any:
    for matrix, bias in weights[:-1]:
        values = leaky_relu(values @ matrix + bias, 0.2)
    matrix, bias = weights[-1]
    return values @ matrix + bias


def start(task: Task, key: Any) -> State:
    """A GAN with fresh weights."""
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


def _with_moments(weights: Tree) -> Moving:
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, zeros, zeros


def _interval(task: Task, loss: str, penalty_weight: float, data: Any, state: State, key: Any) -> State:
    def body(state: State, key: Any) -> tuple[State, None]:
        return pair(task, loss, penalty_weight, state, _drawn(task, data, key)), None

    return lax.scan(body, state, random.split(key, UPDATES // 2))[0]


def _drawn(task: Task, data: Any, key: Any) -> Drawn:
    count, latent = task.base.batch_size, task.networks.latent_dim
    rows, noise, more_noise, mix = random.split(key, 4)
    return (
        data[random.randint(rows, (count,), 0, len(data))],
        random.normal(noise, (count, latent)),
        random.normal(more_noise, (count, latent)),
        random.uniform(mix, (count, 1)),
    )


def pair(task: Task, loss: str, penalty_weight: float, state: State, drawn: Drawn) -> State:
    """One update of D, and then one of G."""
    base, wgan = task.base, loss == "wgan"
    real, noise, more_noise, share = drawn
    steps, generator = state["steps"] + 1, state["generator"][0]
    fake = _network(generator, noise)

    def of_discriminator(weights: Tree) -> Any:
        logits = _network(weights, jnp.concatenate([real, fake]))[:, 0]
        real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        each = fake_logits - real_logits if wgan else softplus(-real_logits) + softplus(fake_logits)
        if not penalty_weight:
            return each.mean()
        points = real + share * (fake - real) if wgan else jnp.concatenate([real, fake])
        slopes = jax.grad(lambda points: _network(weights, points).sum())(points)
        square = (slopes**2).sum(axis=1)
        penalty = ((jnp.sqrt(square + 1e-12) - 1) ** 2).mean() if wgan else square.mean()
        return each.mean() + penalty_weight * penalty

    def of_generator(weights: Tree) -> Any:
        logits = _network(discriminator[0], _network(weights, more_noise))
        return (-logits if wgan else softplus(-logits)).mean()

    decays = base.beta1, base.beta2
    gradient = jax.grad(of_discriminator)(state["discriminator"][0])
    discriminator = _adam(state["discriminator"], gradient, steps, base.discriminator_lr, decays)
    trained = _adam(state["generator"], jax.grad(of_generator)(generator), steps, base.generator_lr, decays)
    average = jax.tree.map(lambda a, b: a + (1 - base.ema_decay) * (b - a), state["average"], trained[0])
    return {"generator": trained, "discriminator": discriminator, "average": average, "steps": steps}


def _adam(network: Moving, gradient: Tree, steps: Any, rate: float, decays: tuple[float, float]) -> Moving:
    weights, first, second = network
    beta1, beta2 = decays
    first = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, second, gradient)
    large, small = 1 - beta1**steps, 1 - beta2**steps
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / large) / (jnp.sqrt(v / small) + 1e-8), weights, first, second
    )
    return weights, first, second
