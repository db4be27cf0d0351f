"""``MetaGAN/Grid25-v0``: the field's grid of 25 Gaussians."""

from typing import Any

from metagan_rl.envs.single import MetaGANEnv
from metagan_rl.envs.vector import MetaGANVectorEnv


class Grid25Env(MetaGANEnv):
    """A GAN on the field's grid of 25 Gaussians, to be scheduled.

    ## Description
    Train a GAN on 25 narrow Gaussians on a square grid (step 2, deviation 0.05; Srivastava et al. 2017,
    arXiv:1705.07761). Tasks differ in base learning rates and seed only.

    ## Action Space
    ``MultiDiscrete([9, 9, 6, 5, 5])``, or ``Box(-1, 1, (5,))`` with ``actions="continuous"``, or ``Discrete(11)`` with
    ``actions="moves"``: 0 keeps all controls, 1 + 2n and 2 + 2n move control n one level down and up (losses go round).
    Fewer with ``knobs`` or ``control``.

    | Num | Control | Levels (discrete) | Continuous |
    |---|---|---|---|
    | 0 | generator learning rate | base x 1/30, 1/12.8, 1/5.5, 1/2.3, 1, 2.3, 5.5, 12.8, 30 | base x 30^a |
    | 1 | discriminator learning rate | as 0 | as 0 |
    | 2 | D:G updates at an equal number in all | 1:3, 1:2, 1:1, 2:1, 3:1, 5:1 | six bins |
    | 3 | loss | non-saturating, hinge, LSGAN, WGAN, RpGAN | five bins |
    | 4 | penalty weight | 0, 0.01, 0.1, 1, 10 | 0 below -0.8, then 0.001 to 10 |

    ## Observation Space
    ``Box`` of unit-free signals, each clipped to its range: the table is ``docs/signals.md``, made from
    ``metagan_rl.signals``. With ``trial_runs`` the previous action, the previous reward (tanh) and a run-boundary flag
    follow.

    ## Rewards
    ``log(distance before / distance after)`` of the interval, which telescopes over a run to log(start / end), less
    small weights times saturation, vanishing gradient, oscillation and mode loss, each in ``info["reward_terms"]``.
    Distance is sliced Wasserstein + 1 - F(precision, coverage). Divergence is never better than carrying on.

    ## Starting State
    A task of the split and fresh weights, both drawn by the environment's generator. ``reset(options=...)`` takes
    ``task`` and ``gan_seed``.

    ## Episode End
    Termination: the budget is spent (3,072 updates, 64 intervals of 48, unless asked otherwise), or the GAN diverged
    (``info["diverged"]``). Truncation: never, but by ``max_episode_steps``.

    ## Arguments
    ``split``, ``horizon``, ``interval_updates``, ``knobs``, ``control``, ``actions`` (``"discrete"``, ``"continuous"``,
    ``"moves"``), ``signals`` (``"all"``, ``"loop"``, ``"outputs"``, ``"autoloss"``), ``trial_runs``, ``reward``
    (weights, or ``"quality"``, ``"balance"``), ``initial_weights`` (a meta-initialisation file), ``render_mode``: see
    ``MetaGANVectorEnv``.

    ## Vectorized environment
    ``gymnasium.make_vec("MetaGAN/Grid25-v0", num_envs=64)`` trains all members as one population; all three autoreset
    modes.

    ## Version History
    * v0: initial version.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("grid25", **options)


class Grid25VectorEnv(MetaGANVectorEnv):
    """Many of :class:`Grid25Env`, trained as one population."""

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        super().__init__("grid25", num_envs, **options)
