"""``recurrent-ppo``: sb3-contrib's RecurrentPPO, whose LSTM keeps its memory over a whole trial (RL²)."""

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from metagan_rl.agents.learners.learner import register_learner
from metagan_rl.agents.learners.sb3.direct_layer import keep_controls
from metagan_rl.agents.learners.sb3.fast_recurrent_ppo import FastRecurrentPPO
from metagan_rl.agents.learners.sb3.policies import SchedulerPolicy
from metagan_rl.agents.learners.sb3.ppo import LOG_STD, PPOConfig, PPOLearner
from metagan_rl.envs.sb3 import SB3VecEnv


@register_learner("recurrent-ppo")
class RecurrentPPOLearner(PPOLearner):
    """PPO with memory: an LSTM each for actor and critic, followed by a tanh layer."""

    privileged = True
    parts = {
        "lstm_actor.": "lstm.",
        "mlp_extractor.policy_net.0.": "layers.0.",
        "action_net.": "head.",
        "direct.": "direct.",
    }

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """Makes the model, which keeps the controls in force at first."""
        own: PPOConfig = self.config.learner
        model = FastRecurrentPPO(
            SchedulerPolicy,
            env,
            policy_kwargs={
                "lstm_hidden_size": own.hidden,
                "net_arch": {"pi": [own.hidden], "vf": [own.hidden]},
                "ortho_init": False,
                "log_std_init": LOG_STD,
                "enable_critic_lstm": True,
                "hidden": self.hidden_inputs,
            },
            **self.settings(),
        )
        keep_controls(model.policy, self.config.codec(), self.config.which(), own.stickiness)
        return model

    def begin_iteration(self) -> None:
        """Empties the memories."""
        self.model._last_lstm_states = _zeroed(self.model._last_lstm_states)

    @property
    def network(self) -> dict[str, Any]:
        """An LSTM and one layer after it."""
        return {"hidden": self.config.learner.hidden, "layers": (self.config.learner.hidden,)}

    def weights(self) -> dict[str, Tensor]:
        """The actor's weights, without those of what it does not see."""
        found = super().weights()
        for name in ("lstm.weight_ih_l0", "direct.weight") if self.hidden_inputs else ():
            found[name] = found[name][:, : -self.hidden_inputs].contiguous()
        return found


def _zeroed(states: Any) -> Any:
    return type(states)(*(tuple(torch.zeros_like(part) for part in pair) for pair in states))
