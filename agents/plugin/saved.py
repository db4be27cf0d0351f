"""What a saved ``GANScheduler`` gives back: read and checked as a whole, before anything is changed."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from metagan_rl.agents.plugin.deciding import Decisions
from metagan_rl.agents.plugin.health import Advice, Health
from metagan_rl.agents.plugin.intake import Intake
from metagan_rl.agents.plugin.optimizer_rates import checked_rates
from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.ledger import Ledger
from metagan_rl.loop.scheduler import Scheduler

VERSION = 4
OTHER_RUN = ("scheduler", "fingerprint", "loss", "ratio", "penalty_weight")
"""Options that a resumed run must share. Its length, interval, bounds, knobs and mode may be others."""


@dataclass(frozen=True)
class Saved:
    """The parts of a scheduler that was saved, ready to take the place of those of a fresh one.

    Attributes:
        scheduler, ledger, decisions, health, intake: as they were.
        advice: of the last decision.
        reward: of the last interval, ``[1]``.
        rates: what is kept of each network's optimizers.
        moves: what is kept of each network's weights; none if moves were not measured.
        last_step, recorded: rounds so far, and those at the last decision.
        misfit: whether what was given did not fit together.
    """

    scheduler: Scheduler
    ledger: Ledger
    decisions: Decisions
    health: Health
    intake: Intake
    advice: Advice
    reward: np.ndarray
    rates: list[list[dict[str, Any]]]
    moves: list[list[Any]]
    last_step: int
    recorded: int
    misfit: bool

    @classmethod
    def of(
        cls,
        state: Mapping[str, Any],
        identity: Mapping[str, Any],
        *,
        scheduler: Scheduler,
        ledger: Ledger,
        decisions: Decisions,
        health: Health,
        intake: Intake,
    ) -> Self:
        """Reads a state.

        Args:
            state: what ``GANScheduler.state_dict`` gave.
            identity: what a resumed run must share, with its values here.
            scheduler: the one in use; a copy of it takes the state.
            ledger: a fresh one with this run's budget; it takes the state.
            decisions: those in use; a copy of them takes the state.
            health: a fresh one; it takes the state.
            intake: a fresh one; it takes the state.

        Raises:
            InvalidValueError: the state is damaged, or of another scheduler, loss or ratio.
        """
        try:
            if state["version"] != VERSION:
                raise InvalidValueError(f"the state is of version {state['version']}; this one reads {VERSION}")
            for name in OTHER_RUN:
                if state["identity"][name] != identity[name]:
                    raise InvalidValueError(
                        f"the state is of another run: {name} was {state['identity'][name]!r} and is {identity[name]!r}"
                    )
            scheduler = copy.deepcopy(scheduler)
            scheduler.begin([0])
            scheduler.load_state_dict(state["scheduler"])
            budget = ledger.budget
            ledger.load_state_dict(state["ledger"])
            ledger.budget = budget
            decisions = copy.copy(decisions)
            decisions.load_state_dict(state["decisions"])
            health.load_state_dict(state["health"])
            intake.load_state_dict(state["intake"])
            found = cls(
                scheduler,
                ledger,
                decisions,
                health,
                intake,
                advice=Advice(**state["advice"]),
                reward=np.array(state["reward"], dtype=np.float64).reshape(1),
                rates=[[checked_rates(each) for each in side] for side in state["rates"]],
                moves=[list(each) for each in state["moves"]],
                last_step=int(state["last_step"]),
                recorded=int(state["recorded"]),
                misfit=state["misfit"],
            )
            if len(found.rates) != 2 or len(found.moves) not in (0, 2):
                raise ValueError("there are not two networks in it")
            if not isinstance(found.misfit, bool):
                raise ValueError(f"misfit is {found.misfit!r}, neither true nor false")
        except InvalidValueError:
            raise
        except Exception as error:  # a damaged state may raise anything
            raise InvalidValueError(f"the state is not a complete state of a GANScheduler ({error!r})") from None
        return found
