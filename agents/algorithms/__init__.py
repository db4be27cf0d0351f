"""The algorithms that train schedulers, by name; each is one small file."""

from metagan_rl.agents.algorithms.algorithm import ALGORITHMS, Algorithm
from metagan_rl.agents.algorithms.dqn import Dqn
from metagan_rl.agents.algorithms.ppo import AutoLoss, Ppo
from metagan_rl.agents.algorithms.recurrent_ppo import RecurrentPpo

__all__ = ["ALGORITHMS", "Algorithm", "AutoLoss", "Dqn", "Ppo", "RecurrentPpo"]
