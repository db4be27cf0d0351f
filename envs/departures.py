"""Departures: how far each member is from its reference, and the controls that follow."""

import numpy as np

from metagan_rl.envs.actions import ActionCodec
from metagan_rl.loop.controls import Controls
from metagan_rl.loop.memory import Remembering


class Departures(Remembering):
    """Where B members are around their references, for K knobs.

    Args:
        members: B.
        codec: of actions around a reference.
    """

    remembers = ("places",)

    def __init__(self, members: int, codec: ActionCodec) -> None:
        self._codec = codec
        self._cyclic = np.array([knob.cyclic for knob in codec.knobs])
        self.places = np.zeros((members, len(codec.knobs)))
        """0 at the reference; see :meth:`metagan_rl.loop.Knob.departed`, ``[B, K]``."""

    @property
    def low(self) -> np.ndarray:
        """Lower bounds of the added numbers."""
        return np.where(self._cyclic, 0.0, -1.0).astype(np.float32)

    @property
    def high(self) -> np.ndarray:
        """Upper bounds of the added numbers."""
        return np.ones(len(self._cyclic), dtype=np.float32)

    def restart(self, members: np.ndarray) -> None:
        """Puts some members back on their references."""
        self.places[members] = 0.0

    def follow(self, actions: np.ndarray, reference: Controls) -> Controls:
        """The controls after these actions of all members, around the references' controls.

        Raises:
            InvalidValueError: the shape does not fit, or a value lies outside the space.
        """
        self.places = self._codec.places(actions, self.places)
        return self._codec.depart(self.places, reference)

    def observation(self) -> np.ndarray:
        """The numbers added to the observation, float32 ``[B, K]``: the places; for choices without order 0 or 1."""
        return np.where(self._cyclic, self.places > 0, self.places).astype(np.float32)
