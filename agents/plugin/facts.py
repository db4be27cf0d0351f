"""What a user's loop knows of itself: read from its optimizers, and told by the user."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

from metagan_rl.errors import InvalidValueError
from metagan_rl.loop.setup import Setup


def facts_of_loop(sides: Iterable[Iterable[Any]], batch_size: int | None) -> Setup:
    """The facts of one loop. Columns and rows of the data are not known.

    Args:
        sides: the optimizers of each network, the generator's first.
        batch_size: real samples in an update; ``None`` if that is not known.

    Raises:
        InvalidValueError: the batch size is not a whole number of at least 1.
    """
    if batch_size is not None and not (isinstance(batch_size, Integral) and batch_size >= 1):
        raise InvalidValueError(f"batch_size is {batch_size!r}; it must be a whole number of at least 1, or None")
    groups = [[group for optimizer in side for group in optimizer.param_groups] for side in sides]
    weights = {id(each): each.numel() for side in groups for group in side for each in group["params"]}
    first = groups[0][0] if groups and groups[0] else {}
    beta1 = first["betas"][0] if "betas" in first else first.get("momentum", np.nan)
    known = Setup.unknown(1)
    for name, value in (("beta1", beta1), ("batch_size", batch_size), ("weights", sum(weights.values()) or None)):
        getattr(known, name)[0] = np.nan if value is None else float(value)
    return known
