"""A learner of one's own is a dataclass of options and a class with five methods: here evolution strategies."""

FILE = '''
from dataclasses import dataclass

import numpy as np
import torch
from metagan_rl.agents import Learner, PolicyConfig, PolicyNetwork, PolicyScheduler, register_learner
from metagan_rl.loop import RunOptions, drive
from metagan_rl.tasks import get_suite, register_suite
from tiny_suite import tiny

register_suite(tiny())

@dataclass(frozen=True)
class Options:
    """Options of evolution strategies.

    Attributes:
        deviation: of the weights that are tried.
        step: how far the mean follows.
    """

    deviation: float = 0.1
    step: float = 0.5

@register_learner("evolution")
class Evolution(Learner):
    """Antithetic evolution strategies on whole runs (Salimans et al. 2017, arXiv:1703.03864)."""

    Config = Options
    trial_memory = False

    def __init__(self, config):
        super().__init__(config)
        self.split = get_suite(config.tasks_of()).split("train")
        self.intervals = config.intervals(self.split[0])
        self.shape = PolicyConfig(config.chosen_knobs(), config.which(), False, 0, (8,))
        network = PolicyNetwork(len(self.shape.signals), self.shape, self.shape.codec().choices)
        torch.nn.utils.vector_to_parameters(0 * self.flat(network), network.parameters())
        self.network, self.mean = network, self.flat(network).detach()

    def flat(self, network):
        return torch.nn.utils.parameters_to_vector(network.parameters())

    @property
    def updates_per_iteration(self):
        return 2 * self.config.members * self.intervals * self.config.interval_updates

    def scheduler(self, weights, metadata=()):
        torch.nn.utils.vector_to_parameters(weights, self.network.parameters())
        values = {name: value.clone() for name, value in self.network.state_dict().items()}
        return PolicyScheduler(self.shape, values, dict(metadata))

    def iterate(self, number, done, on_interval):
        rng = np.random.default_rng([self.config.seed, number])
        tasks = [self.split.sample(rng) for _ in range(self.config.members)]
        seeds = rng.integers(2**31, size=len(tasks)).tolist()
        noise = torch.from_numpy(rng.normal(size=len(self.mean))).float()
        ends = []
        for sign in (1, -1):
            weights = self.mean + sign * self.config.learner.deviation * noise
            runs, _ = drive(self.scheduler(weights), tasks, seeds, RunOptions.of(self.config))
            ends.append(float(np.log(runs.quality.distance).mean()))
        self.mean = self.mean - self.config.learner.step * float(np.sign(ends[0] - ends[1])) * noise / len(noise) ** 0.5
        on_interval()
        best = min(ends)
        return {"rollout/return": -best, "rollout/distance": float(np.exp(best)), "rollout/diverged": 0.0}

    def policy(self, metadata):
        return self.scheduler(self.mean, metadata)

    def state(self):
        return {"mean": self.mean}

    def load_state(self, state):
        self.mean = state["mean"]
'''
SHORT = ("--updates", "800", "--members", "2", "--horizon", "2", "--validate-every", "1", "--validation-tasks", "1")


def test_from_import_to_a_policy_a_row_and_the_report(desk):
    desk.write("evolution.py", FILE)
    train = ("train", "--import", "evolution.py", "--suite", "tiny", "--algorithm", "evolution")
    desk.run(*train, "--deviation", "0.2", *SHORT)
    policy = ("--policy", "runs/train/policy.safetensors", "--schedulers", "constant", "--split", "test")
    desk.run("benchmark", "--import", "evolution.py", "--suite", "tiny", *policy)
    assert {row["scheduler"] for row in desk.rows()} == {"constant", "learned"} and "learned" in desk.report()
    desk.run("train", "--import", "evolution.py", "--resume", "runs/train", "--updates", "1200")


def test_its_options_are_on_the_command_line_and_checked(desk):
    desk.write("evolution.py", FILE)
    train = ("train", "--import", "evolution.py", "--suite", "tiny", "--algorithm", "evolution")
    assert "of the weights that are tried" in desk.run(*train, "--help")
    assert "--epochs" in desk.run(*train, "--epochs", "3", status=2)
