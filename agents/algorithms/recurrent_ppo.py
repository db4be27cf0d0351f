"""``recurrent-ppo``: sb3-contrib's RecurrentPPO, whose LSTM keeps its memory over a whole trial (RL²)."""

from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from metagan_rl.agents.algorithms.algorithm import ALGORITHMS
from metagan_rl.agents.algorithms.ppo import Ppo
from metagan_rl.agents.direct_layer import keep_controls
from metagan_rl.agents.fast_recurrent_ppo import FastRecurrentPPO
from metagan_rl.agents.recurrent_policy import SchedulerPolicy
from metagan_rl.envs.actions import ActionCodec
from metagan_rl.envs.sb3 import SB3VecEnv
from metagan_rl.signals import SIGNAL_SETS


@ALGORITHMS("recurrent-ppo")
class RecurrentPpo(Ppo):
    """PPO with an LSTM each for actor and critic, and a tanh layer after it."""

    def build(self, env: SB3VecEnv) -> BaseAlgorithm:
        """The model, which keeps the controls in force at first."""
        config = self.config
        model = FastRecurrentPPO(
            SchedulerPolicy,
            env,
            policy_kwargs={
                "lstm_hidden_size": config.hidden,
                "net_arch": {"pi": [config.hidden], "vf": [config.hidden]},
                "ortho_init": False,
                "enable_critic_lstm": True,
            },
            **self.settings(),
        )
        keep_controls(model.policy, ActionCodec(config.knobs), SIGNAL_SETS[config.signals], config.stickiness)
        return model

    def iterate(self, number: int, done: float, callback: BaseCallback) -> None:
        """As the parent, with memories empty at first."""
        self.model._last_lstm_states = _zeroed(self.model._last_lstm_states)
        super().iterate(number, done, callback)

    @property
    def network(self) -> dict[str, Any]:
        """An LSTM and one layer after it."""
        return {"hidden": self.config.hidden, "layers": (self.config.hidden,)}

    def weights(self) -> dict[str, Tensor]:
        """The actor's."""
        return self.renamed(
            {
                "lstm_actor.": "lstm.",
                "mlp_extractor.policy_net.0.": "layers.0.",
                "action_net.": "head.",
                "direct.": "direct.",
            }
        )


def _zeroed(states: Any) -> Any:
    return type(states)(*(tuple(torch.zeros_like(part) for part in pair) for pair in states))
