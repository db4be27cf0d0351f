"""A hash of what a scheduler is, without what it remembers. A resumed run must have the same hash."""

import hashlib
from dataclasses import is_dataclass
from typing import Any

from torch import nn


def fingerprint(owner: Any) -> str:
    """Hashes a scheduler's class, options and weights, but not what it remembers."""
    digest = hashlib.sha256(type(owner).__qualname__.encode())
    for key, value in sorted(vars(owner).items()):
        if isinstance(value, nn.Module):
            for name, tensor in value.state_dict().items():
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
        elif not key.startswith("_") and (isinstance(value, (bool, int, float, str, tuple)) or is_dataclass(value)):
            digest.update(f"{key}={value!r}".encode())
    return digest.hexdigest()[:16]
