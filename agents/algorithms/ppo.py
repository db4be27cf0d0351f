"""``ppo``: Stable-Baselines3's PPO without memory, and ``autoloss``, which is that with what AutoLoss had."""

import warnings
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from metagan_rl.agents.algorithms.algorithm import ALGORITHMS, Algorithm
from metagan_rl.agents.direct_layer import MemorylessPolicy, keep_controls
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.signals import SIGNAL_SETS


@ALGORITHMS("ppo")
class Ppo(Algorithm):
    """PPO with two tanh layers for actor and critic each.

    It is ``recurrent-ppo`` with a layer in the place of the LSTM and nothing else changed: it sees the same numbers,
    those of the trial's memory too, begins by keeping the controls in force as well, and goes through the same
    schedules. What it loses against the other is what memory is worth.
    """

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """The model, which keeps the controls in force at first."""
        config = self.config
        layers = [config.hidden, config.hidden]
        with warnings.catch_warnings():  # the last minibatch may be a smaller one
            warnings.filterwarnings("ignore", "You have specified a mini-batch size")
            model = PPO(
                MemorylessPolicy,
                env,
                policy_kwargs={"net_arch": {"pi": layers, "vf": layers}, "ortho_init": False},
                **self.settings(),
            )
        keep_controls(model.policy, ActionCodec(config.knobs), SIGNAL_SETS[config.signals], config.stickiness)
        return model

    def settings(self) -> dict[str, Any]:
        """Of PPO, with memory or without."""
        config = self.config
        return {
            "learning_rate": config.learning_rate,
            "n_steps": self.steps,
            "batch_size": max(2, self.steps * config.members // config.minibatches),
            "n_epochs": config.epochs,
            "gamma": 1.0,
            "gae_lambda": config.gae_lambda,
            "clip_range": config.clip_range,
            "ent_coef": config.entropy_start,
            "max_grad_norm": config.max_grad_norm,
            "target_kl": config.target_kl,
            "seed": config.seed,
            "device": "cpu",
        }

    def schedule(self, done: float) -> None:
        """Entropy falls to 0 at three quarters of the run, the learning rate to a fifth at its end."""
        self.model.ent_coef = self.config.entropy_start * max(0.0, 1 - done / 0.75)
        self.model.lr_schedule = lambda _: self.config.learning_rate * (1 - 0.8 * done)

    @property
    def network(self) -> dict[str, Any]:
        """Two layers and no LSTM."""
        return {"hidden": 0, "layers": (self.config.hidden, self.config.hidden)}

    def weights(self) -> dict[str, Tensor]:
        """The actor's."""
        return self.renamed(
            {
                "mlp_extractor.policy_net.0.": "layers.0.",
                "mlp_extractor.policy_net.2.": "layers.1.",
                "action_net.": "head.",
                "direct.": "direct.",
            }
        )


@ALGORITHMS("autoloss")
class AutoLoss(Ppo):
    """An ablation in the manner of AutoLoss: a small policy that sets the order of updates alone, from few signals.

    As there, the controller has two layers of 16, sees the share of training done, the ratio of the gradients, both
    losses and a measure of quality (``AUTOLOSS_SIGNALS``), nothing of its own past, and chooses how many updates D and
    G get. Unlike there it is trained by PPO on our reward, which REINFORCE's final one telescopes to, on many tasks,
    and chooses a ratio an interval, not a network an update.

    Source: Xu et al. 2018, AutoLoss, arXiv:1810.02442.
    """

    trial_memory = False
    defaults = {"knobs": ("ratio",), "signals": "autoloss", "hidden": 16}
