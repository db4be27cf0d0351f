"""Nothing that trains, measures or learns may change its numbers by accident; ``tests/golden/record.py`` makes them."""

import json
import math

import pytest
from golden.record import GOLDEN, SECTIONS, fingerprint, record

WANTED = json.loads(GOLDEN.read_text(encoding="utf-8"))
LOOSE = 2e-2
"""Elsewhere sums are rounded otherwise, and a few intervals of training make more of it."""


def differences(wanted, found, path="", exact=True):
    if isinstance(wanted, dict):
        if set(wanted) != set(found):
            yield f"{path}: {sorted(set(wanted) ^ set(found))} on one side only"
        for name in sorted(set(wanted) & set(found)):
            yield from differences(wanted[name], found[name], f"{path}/{name}", exact)
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(wanted) != len(found):
            yield f"{path}: {wanted!r} is now {found!r}"
        else:
            for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
                yield from differences(one, other, f"{path}[{place}]", exact)
    elif exact or not isinstance(wanted, float):
        digest = isinstance(wanted, str) and len(wanted) == 16 and not exact
        if wanted != found and not digest:
            yield f"{path}: {wanted!r} is now {found!r}"
    elif not math.isclose(wanted, found, rel_tol=LOOSE, abs_tol=LOOSE):
        yield f"{path}: {wanted!r} is now {found!r}"


@pytest.mark.parametrize("section", SECTIONS)
def test_the_numbers_are_those_of_before(section):
    exact = WANTED["fingerprint"] == fingerprint()
    found = list(differences(WANTED[section], record(section), section, exact))
    assert not found, f"{len(found)} numbers differ; the first: " + "\n".join(found[:5])
