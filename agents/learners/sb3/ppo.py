"""``ppo``, Stable-Baselines3's PPO without memory, and ``autoloss``, which is PPO with what AutoLoss had."""

import warnings
from dataclasses import dataclass
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from metagan_rl.agents.learners.learner import register_learner
from metagan_rl.agents.learners.options import require
from metagan_rl.agents.learners.sb3.adapter import SB3Learner
from metagan_rl.agents.learners.sb3.direct_layer import MemorylessPolicy, keep_controls
from metagan_rl.envs.actions import KINDS
from metagan_rl.envs.sb3 import SB3VecEnv

LOG_STD = -1.5
"""Logarithm of a fresh agent's deviation of continuous actions, which lie in [-1, 1]."""


@dataclass(frozen=True)
class PPOConfig:
    """Options of ``ppo`` and ``recurrent-ppo``.

    Attributes:
        hidden: units of the LSTM, if there is one, and of each layer; actor and critic have their own.
        learning_rate: learning rate at the start; it decays to a fifth.
        epochs: passes over each rollout.
        minibatches: parts that each rollout is cut into.
        clip_range, gae_lambda, target_kl: as in PPO.
        max_grad_norm: longest gradient; longer ones are shortened to it.
        entropy_start: entropy bonus at the start; it falls to 0 by three quarters of the run.
        stickiness: how strongly a fresh agent keeps the controls in force: the log-probability lost by a change of one
            level, or of an eighth of a knob's range if levels are finer.
    """

    hidden: int = 64
    learning_rate: float = 2.5e-3
    epochs: int = 20
    minibatches: int = 4
    clip_range: float = 0.2
    gae_lambda: float = 0.95
    target_kl: float = 0.03
    max_grad_norm: float = 0.5
    entropy_start: float = 0.005
    stickiness: float = 2.8

    def __post_init__(self) -> None:
        require(self, whole=("hidden", "epochs", "minibatches"), rates=("learning_rate",), shares=("gae_lambda",))
        require(self, positive=("clip_range", "target_kl", "max_grad_norm"))
        require(self, not_negative=("entropy_start", "stickiness"))


@register_learner("ppo")
class PPOLearner(SB3Learner):
    """PPO without memory: two tanh layers each for actor and critic.

    It is ``recurrent-ppo`` with a layer in place of the LSTM, and nothing else changed. It sees the same numbers,
    including those of the trial's memory. It also begins by keeping the controls in force, and follows the same
    schedules. What it loses against ``recurrent-ppo`` is what memory is worth.
    """

    Config = PPOConfig
    takes = KINDS
    parts = {
        "mlp_extractor.policy_net.0.": "layers.0.",
        "mlp_extractor.policy_net.2.": "layers.1.",
        "action_net.": "head.",
        "direct.": "direct.",
    }

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """Makes the model, which keeps the controls in force at first."""
        own: PPOConfig = self.config.learner
        layers = [own.hidden, own.hidden]
        with warnings.catch_warnings():  # the last minibatch may be a smaller one
            warnings.filterwarnings("ignore", "You have specified a mini-batch size")
            model = PPO(
                MemorylessPolicy,
                env,
                policy_kwargs={
                    "net_arch": {"pi": layers, "vf": layers},
                    "ortho_init": False,
                    "log_std_init": LOG_STD,
                },
                **self.settings(),
            )
        keep_controls(model.policy, self.config.codec(), self.config.which(), own.stickiness)
        return model

    def settings(self) -> dict[str, Any]:
        """Settings of PPO, with memory or without."""
        own: PPOConfig = self.config.learner
        return {
            "learning_rate": own.learning_rate,
            "n_steps": self.steps,
            "batch_size": max(2, self.steps * self.config.members // own.minibatches),
            "n_epochs": own.epochs,
            "gamma": 1.0,
            "gae_lambda": own.gae_lambda,
            "clip_range": own.clip_range,
            "ent_coef": own.entropy_start,
            "max_grad_norm": own.max_grad_norm,
            "target_kl": own.target_kl,
            "seed": self.config.seed,
            "device": "cpu",
        }

    def schedule(self, done: float) -> None:
        """Lowers the entropy bonus to 0 by three quarters of the run, and the learning rate to a fifth by its end."""
        self.model.ent_coef = self.config.learner.entropy_start * max(0.0, 1 - done / 0.75)
        self.model.lr_schedule = lambda _: self.config.learner.learning_rate * (1 - 0.8 * done)

    @property
    def network(self) -> dict[str, Any]:
        """Two layers and no LSTM."""
        return {"hidden": 0, "layers": (self.config.learner.hidden, self.config.learner.hidden)}


@dataclass(frozen=True)
class AutoLossConfig(PPOConfig):
    """Options of ``autoloss``: those of ``ppo``, with a smaller network."""

    hidden: int = 16


@register_learner("autoloss")
class AutoLossLearner(PPOLearner):
    """An ablation after AutoLoss: a small policy that sets only the order of updates, from few signals.

    As in AutoLoss, the controller has two layers of 16 and chooses how many updates D and G get. It sees the share of
    training done, the ratio of the gradients, both losses and a measure of quality (signals ``"autoloss"``), but
    nothing of its own past. Unlike AutoLoss, it is trained on many tasks by PPO, and chooses a ratio for an interval,
    not a network for an update. Its reward is ours; AutoLoss's final reward for REINFORCE is the sum of such rewards.

    Source: Xu et al. 2018, AutoLoss, arXiv:1810.02442.
    """

    Config = AutoLossConfig
    trial_memory = False
    defaults = {"knobs": ("ratio",), "signals": "autoloss"}
