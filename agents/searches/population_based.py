"""Population-based training: several GANs for each run, of which the worst go on from copies of the best."""

import math
from collections.abc import Sequence

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.knobs import Knob, Knobs, NumberKnob, choose_knobs
from metagan_rl.loop.scheduler import Scheduler, Situation, register_scheduler


def fitness(situation: Situation) -> np.ndarray:
    """How good each GAN is now, ``[B]``: comparable within a run, minus infinity for one that cannot be judged.

    It is minus the log of the quality distance. Without a quality metric it is minus the distance of D's loss to its
    ideal, in decades (for critics, to a gap of zero). That says whether the game is even, not whether it is good.
    """
    signals, unknown = situation.signals, np.full(len(situation), np.nan)
    if "distance_to_floor" in signals:
        values = -signals["distance_to_floor"]
    else:
        values = -np.abs(signals.get("discriminator_loss", unknown))
    return np.nan_to_num(values, nan=-np.inf, neginf=-np.inf)


@register_scheduler("pbt")
class PopulationBased(Scheduler):
    """Population-based training: 8 GANs a run; the worst quarter copies the best, with changed controls.

    All controls begin at random: rates log-uniform within 1/30 to 30 times the base, ratio and loss uniform, penalty
    weight 0 or log-uniform in 1e-3 to 10. A run has eight rounds (of 8 intervals out of 64). After a round, each GAN of
    the lowest quarter by :func:`fitness` goes on from a random one of the highest quarter (truncation selection). It
    takes over that one's controls, multiplies each rate by 0.8 or 1.25, and draws each other control anew with
    probability 1/4. The result of the run is its best GAN at the end. So it costs eight times the updates of any other
    scheduler.

    Args:
        members: GANs of a run, at least 2.
        rounds: parts of the budget; members are compared between them.
        share: share of the members that is replaced each time, in (0, 0.5]; always at least one member.
        factors: a rate is multiplied by one of these two.
        resample: probability with which a knob that is not a factor is drawn anew.
        knobs: what is searched; by default the knobs of agents. The rest stays at the base.
    """

    source = "PBT, Jaderberg et al. 2017, arXiv:1711.09846: truncation selection, perturbation or resampling"

    remembers = ("_rngs", "_values", "_round")

    def __init__(
        self,
        members: int = 8,
        rounds: int = 8,
        share: float = 0.25,
        factors: tuple[float, float] = (0.8, 1.25),
        resample: float = 0.25,
        knobs: Knobs | None = None,
    ) -> None:
        if members < 2 or rounds < 1:
            raise InvalidValueError(f"{members} members and {rounds} rounds; at least 2 members and 1 round are needed")
        if not 0 < share <= 0.5 or not 0 <= resample <= 1:
            raise InvalidValueError(f"share is {share} and resample {resample}; they must lie in (0, 0.5] and [0, 1]")
        if not all(0 < factor < math.inf for factor in factors):
            raise InvalidValueError(f"factors are {factors}; both must be above 0")
        self.members, self.rounds, self.factors, self.resample = members, rounds, factors, resample
        self.replaced = max(1, int(share * members))
        self.knobs = choose_knobs(knobs)

    def begin(self, seeds: Sequence[int]) -> None:
        """Draws the controls that each run's members begin with.

        Raises:
            InvalidValueError: the number of GANs is not a multiple of ``members``.
        """
        if len(seeds) % self.members:
            raise InvalidValueError(
                f"{len(seeds)} GANs are not a whole number of runs of {self.members} members; let drive() make them"
            )
        self._rngs = [np.random.default_rng(seed) for seed in seeds[:: self.members]]
        drawn = [_draw(self.knobs, rng, self.members) for rng in self._rngs]
        self._values = {knob.name: np.concatenate([each[knob.name] for each in drawn]) for knob in self.knobs}
        self._round = np.zeros(len(self._rngs), dtype=int)

    def exploit(self, situation: Situation) -> np.ndarray | None:
        """When a run's round is over, its worst GANs go on from its best, with changed controls."""
        now = np.floor(situation.progress[:: self.members] * self.rounds + 1e-9).astype(int)
        over = np.flatnonzero(now > self._round)
        self._round = now
        if not len(over):
            return None
        sources, how_good = np.arange(len(situation)), fitness(situation)
        for run in over:
            own = np.arange(run * self.members, (run + 1) * self.members)
            ranked = own[np.argsort(-how_good[own], kind="stable")]
            worst = ranked[-self.replaced :]
            sources[worst] = self._rngs[run].choice(ranked[: self.replaced], len(worst))
            self._explore(self._rngs[run], worst, sources[worst])
        return sources

    def propose(self, situation: Situation) -> Controls:
        """The controls of each member."""
        return situation.base.replace(**self._values)

    def _explore(self, rng: np.random.Generator, members: np.ndarray, sources: np.ndarray) -> None:
        """Gives members changed copies of the controls of others."""
        anew, count = _draw(self.knobs, rng, len(members)), len(members)
        for knob in self.knobs:
            values = self._values[knob.name]
            if isinstance(knob, NumberKnob) and knob.factor:
                changed = values[sources] * rng.choice(self.factors, count)
                values[members] = np.clip(changed, knob.scale.low, knob.scale.high)
            else:
                kept = rng.uniform(size=count) >= self.resample
                values[members] = np.where(kept, values[sources], anew[knob.name])


def _draw(knobs: Sequence[Knob], rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random controls, ``[count]`` of each knob."""
    return {knob.name: knob.draw(rng, count) for knob in knobs}
