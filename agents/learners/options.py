"""Checks of learners' options, so that each learner states its ranges in one line."""

import math
from collections.abc import Sequence
from typing import Any

from metagan_rl.errors import InvalidValueError

MOST = 10**9
"""No size is larger. What is too large for a machine's memory is told when it is asked for."""


def require(
    options: Any,
    *,
    whole: Sequence[str] = (),
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    shares: Sequence[str] = (),
    rates: Sequence[str] = (),
) -> None:
    """Checks the ranges of an options object's fields.

    Args:
        options: the object.
        whole: fields that are whole numbers of at least 1.
        positive: fields that are finite and more than 0.
        not_negative: fields that are finite and at least 0.
        shares: fields in [0, 1].
        rates: fields that are learning rates, between 0 and 1.

    Raises:
        InvalidValueError: a field is out of range.
    """
    tests = (
        (whole, lambda value: isinstance(value, int) and 1 <= value <= MOST, f"at least 1, and at most {MOST:,}"),
        (positive, lambda value: 0 < value < math.inf, "more than 0"),
        (not_negative, lambda value: 0 <= value < math.inf, "at least 0"),
        (shares, lambda value: 0 <= value <= 1, "between 0 and 1"),
        (rates, lambda value: 0 < value < 1, "between 0 and 1"),
    )
    for names, holds, range_ in tests:
        for name in names:
            if not holds(getattr(options, name)):
                raise InvalidValueError(f"{name} is {getattr(options, name)!r}; it must be {range_}")
