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
        before, now = self._round, np.floor(situation.progress[:: self.members] * self.rounds + 1e-9).astype(int)
        over = np.flatnonzero(now > before)
        self._round = now
        if not len(over):
            return None
        sources, how_good = np.arange(len(situation)), fitness(situation)
        for run in over.tolist():
            own = np.arange(run * self.members, (run + 1) * self.members)
            ranked = own[np.argsort(-how_good[own], kind="stable")]
            self.select(run, ranked, range(before[run] + 1, now[run] + 1), sources)
        return sources

    def select(self, run: int, ranked: np.ndarray, rounds: range, sources: np.ndarray) -> None:
        """Decides who goes on from whom, and with which controls.

        Args:
            run: number of the run.
            ranked: its members, the best first.
            rounds: numbers of the rounds that are over, from 1; mostly one.
            sources: from whom each member goes on, itself so far; changed.
        """
        worst = ranked[-self.replaced :]
        sources[worst] = self._rngs[run].choice(ranked[: self.replaced], len(worst))
        self._explore(self._rngs[run], worst, sources[worst])

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


@register_scheduler("mf-pbt")
class MultipleFrequencies(PopulationBased):
    """PBT with sub-populations that select at different frequencies, so that not all of it is greedy.

    Controls begin and change as in ``pbt``. Sub-population i of a run, from 0, selects after every 2^i rounds. Its
    worst quarter then goes on from its best quarter, with changed controls. Its third quarter takes in migrants: each
    member there goes on from the best member of the other sub-populations that nobody took yet, if that is better. A
    migrant from a sub-population that selects more seldom brings its controls along. One from a sub-population that
    selects more often brings its weights alone, and gets the controls of the best member where it comes to. So
    controls that pay at once do not spread to where long-term gains are looked for.

    Args:
        members: GANs of a run.
        populations: sub-populations of a run, of equal size, at least 4 members each.
        rounds: parts of the budget; the first sub-population selects after each.
        factors: a rate is multiplied by one of these two.
        resample: probability with which a knob that is not a factor is drawn anew.
        knobs: what is searched; by default the knobs of agents. The rest stays at the base.
    """

    source = "MF-PBT, Doulazmi et al. 2025, arXiv:2506.03225: sub-populations, asymmetric migration"

    def __init__(
        self,
        members: int = 8,
        populations: int = 2,
        rounds: int = 8,
        factors: tuple[float, float] = (0.8, 1.25),
        resample: float = 0.25,
        knobs: Knobs | None = None,
    ) -> None:
        if populations < 1 or members % populations or members // populations < 4:
            raise InvalidValueError(
                f"{populations} populations of {members} members; at least 4 members in each are needed, all alike"
            )
        super().__init__(members, rounds, 0.25, factors, resample, knobs)
        self.populations = populations
        self.replaced = members // populations // 4

    def select(self, run: int, ranked: np.ndarray, rounds: range, sources: np.ndarray) -> None:
        """As in the parent, but in sub-populations."""
        size, before = self.members // self.populations, {name: each.copy() for name, each in self._values.items()}
        place = (ranked - run * self.members) // size
        for population in range(self.populations):
            if not any(number % 2**population == 0 for number in rounds):
                continue
            own, others = ranked[place == population], [*ranked[place != population]]
            worst = own[-self.replaced :]
            sources[worst] = own[: self.replaced]
            self._explore(self._rngs[run], worst, sources[worst])
            for member in own[2 * self.replaced : 3 * self.replaced]:
                if others and np.flatnonzero(ranked == others[0]) < np.flatnonzero(ranked == member):
                    migrant = others.pop(0)
                    sources[member] = migrant
                    seldom = (migrant - run * self.members) // size > population
                    for name, values in self._values.items():
                        values[member] = before[name][migrant if seldom else own[0]]


def _draw(knobs: Sequence[Knob], rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random controls, ``[count]`` of each knob."""
    return {knob.name: knob.draw(rng, count) for knob in knobs}
