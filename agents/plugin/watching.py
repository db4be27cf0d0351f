"""Reads D's logits by forward hooks and rounds by the optimizers' step hooks, so that a loop needs no change.

What D is called with tells what is what. An input is generated if it shares memory with an output of G, or was
computed from one. Of a batch that holds both, the half that equals an output of G is the generated one. If neither is
so, because inputs were augmented, say, then the second of two calls is the generated one if G was called in between.

Calls before a step of D's optimizer belong to it. A round ends with the last step of G's optimizer that the ratio has
in it. Calls in evaluation mode or without gradients do not count. Calls whose input itself wants a gradient are those
of a penalty, if there are others.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metagan_rl.agents.plugin.rates import Rates
from metagan_rl.errors import InvalidValueError, MetaGANError

REACH = 512
"""Operations that are followed back from an input, in search of an output of G."""
TINY = 1e-6
"""Probabilities are this far from 0 and 1 at least, when they are turned into logits."""

KEPT = 8
"""Outputs of G, and inputs of each discriminator, that are kept at most."""
CALLS = 256
"""Calls of discriminators that are kept at most, where their optimizer does not step."""
SHAPES = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Alias", "ToCopy", "Select", "Clone")
"""What may be done to the result of a sigmoid before a discriminator returns it."""
MARK = "metagan_rl"
"""Marks what computed an output of G, so that nothing else need be kept of it."""

Read = Callable[[Any], Any]


@dataclass
class Call:
    """One call of a discriminator.

    Attributes:
        place: which discriminator.
        time: how many networks had been called before.
        generated: whether its input is; ``None`` if that is unknown.
        exact: whether its input is an output of G itself.
        probes: whether its input itself wants a gradient, as that of a gradient penalty does.
        logits: what it gave. A tuple is a pair of real and generated ones if it gives both, and scales if not.
        data: its first input.
    """

    place: int
    time: int
    generated: bool | None
    exact: bool
    probes: bool
    logits: Any
    data: Tensor | None


class Hook:
    """A hook that stays with its network: a copy of the network, or a saved one, has one that does nothing."""

    def __init__(self, use: Callable[..., None] | None) -> None:
        self._use = use

    def __call__(self, *given: Any) -> None:
        """Passes on what the network was called with."""
        if self._use is not None:
            self._use(*given)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, (None,)


class Watch:
    """Hooks on networks and optimizers.

    Args:
        discriminators, generators: networks as the loop calls them.
        rates: those of G's and of D's optimizers.
        tell: gets the real and the generated logits of a step of D's optimizer, a list for each, and the ``"real"`` and
            ``"generated"`` samples that the first discriminator saw, if these are separate.
        generator_stepped: called after each step of G's (first) optimizer.
        puzzled: gets a sentence if it cannot tell which logits are which.
        undoes_sigmoid: whether the results of a sigmoid are taken back to logits, as they are where D has a
            cross-entropy of probabilities.
        logits: makes logits of a discriminator's output: one tensor, or a pair of real and generated ones. By default
            the first tensor, and ``"logits"`` of a dictionary.
        first: which of two calls is ``"real"`` or ``"fake"`` where that cannot be seen.

    Raises:
        InvalidValueError: something is not a network, an optimizer has no hooks or moves none of its networks' weights,
            or ``first`` is neither.
    """

    def __init__(
        self,
        discriminators: Sequence[nn.Module],
        generators: Sequence[nn.Module],
        rates: tuple[Rates, Rates],
        *,
        tell: Callable[[list[Any], list[Any], Mapping[str, Any]], None],
        generator_stepped: Callable[[], None],
        puzzled: Callable[[str], None],
        undoes_sigmoid: bool = True,
        logits: Read | None = None,
        first: str | None = None,
    ) -> None:
        for each in (*discriminators, *generators):
            if not isinstance(each, nn.Module):
                raise InvalidValueError(f"watch was given {each!r}, which is not a network (torch.nn.Module)")
        if not discriminators:
            raise InvalidValueError("watch was given no discriminator")
        if first not in (None, "real", "fake"):
            raise InvalidValueError(f"first is {first!r}; it must be 'real' or 'fake'")
        for side in rates:
            if not all(each.can_be_hooked for each in side.each):
                raise InvalidValueError(f"{side.name} has no hooks; call step() once a round instead")
        for networks, side, what in ((generators, rates[0], "generator"), (discriminators, rates[1], "discriminator")):
            _check_that_they_belong(networks, side, what)
        self._tell, self._tell_of_step, self._puzzled, self._first = tell, generator_stepped, puzzled, first
        self._undoes_sigmoid = undoes_sigmoid
        self._made: deque[Tensor] = deque(maxlen=KEPT)
        self._calls: list[Call] = []
        self._set_aside: list[Call] = []
        self._time = self._last_made = 0
        self._used = False
        """Whether D has stepped since G was called: the next output of G begins a new set."""
        self._samples: dict[str, Any] = {}
        self._fake_half: dict[int, bool | None] = {}
        """For discriminators that get both kinds in one batch, whether the generated ones come first."""
        self._hooks = [
            *(each.register_forward_hook(Hook(self._guarded(self._note_generator))) for each in generators),
            *(
                each.register_forward_hook(Hook(self._guarded(self._reader(place, logits))), with_kwargs=True)
                for place, each in enumerate(discriminators)
            ),
            *(each.on_step(self._guarded(self._discriminator_stepped)) for each in rates[1].each),
            rates[0].each[0].on_step(self._generator_stepped),
        ]

    def remove(self) -> None:
        """Takes all hooks away."""
        for hook in self._hooks:
            hook.remove()
        self._made.clear()
        self._hooks, self._calls, self._set_aside = [], [], []

    def _guarded(self, use: Callable[..., None]) -> Callable[..., None]:
        """The same function, whose failure does not end a user's run."""

        def guarded(*given: Any) -> None:
            try:
                use(*given)
            except MetaGANError:
                raise
            except Exception as error:  # networks may get and give anything
                self._puzzled(f"{type(error).__name__}: {error}")

        return guarded

    def _note_generator(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._time += 1
        self._last_made = self._time
        if self._used:
            self._made.clear()
            self._used = False
        for made in _tensors(output):
            if made.grad_fn is not None:
                made.grad_fn.metadata[MARK] = True  # type: ignore[index]  # a dictionary
            self._made.append(made.detach())  # the same memory, without what computed it

    def _reader(self, place: int, logits: Read | None) -> Callable[..., None]:
        def note(module: nn.Module, inputs: Any, keywords: Any, output: Any) -> None:
            self._time += 1
            if not (module.training and torch.is_grad_enabled()) or len(self._calls) == CALLS:
                return
            given = list(_tensors([*inputs, *keywords.values()]))
            read = self._first_tensor(output) if logits is None else logits(output)
            if read is None:
                return
            if self._undoes_sigmoid and logits is None and isinstance(read, Tensor) and _is_sigmoid(read):
                read = torch.logit(read.detach().float(), eps=TINY)
            exact = any(self._is_made(each) for each in given)
            generated = True if exact or any(map(_computed_from_made, given)) else None
            probes = bool(given) and given[0].requires_grad and given[0].is_leaf
            keeps = sum(call.place == place for call in self._calls) < KEPT
            data = given[0].detach() if given and keeps else None
            self._calls.append(Call(place, self._time, generated, exact, probes, _detached(read), data))

        return note

    def _is_made(self, given: Tensor) -> bool:
        """Whether an input shares memory with an output of G."""
        memory = given.untyped_storage().data_ptr()
        return any(made.untyped_storage().data_ptr() == memory for made in self._made)

    def _first_tensor(self, output: Any) -> Tensor | None:
        if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
            return output["logits"]
        given = [each for each in _tensors(output) if each.is_floating_point()]
        if any(each.numel() < given[0].numel() for each in given[1:]):
            self._puzzled("a discriminator gives several tensors, and the first, taken as logits, is not the smallest")
        return given[0] if given else None

    def _discriminator_stepped(self) -> None:
        calls = self._calls or self._set_aside
        self._samples = {}
        reals, fakes = [], []
        for place in sorted({call.place for call in calls}):
            pair = self._pair([call for call in calls if call.place == place])
            if pair is not None:
                reals.append(pair[0])
                fakes.append(pair[1])
        if reals:
            self._tell(reals, fakes, self._samples)
        self._used = True
        self._calls, self._set_aside = [], []

    def _generator_stepped(self) -> None:
        # A loop may call all networks first, and then step G before D
        self._set_aside = self._calls if any(not call.generated for call in self._calls) else []
        self._calls = []
        self._tell_of_step()

    def _pair(self, calls: list[Call]) -> tuple[Any, Any] | None:
        """The real and the generated logits of one discriminator, from its first calls of either kind."""
        generated = sorted((call for call in calls if call.generated), key=lambda call: not call.exact)
        others = [call for call in calls if not call.generated]
        if isinstance(calls[0].logits, tuple) and not (generated and others):
            return self._both(calls[0].logits)
        asked = [call for call in others if not call.probes]
        if generated and not asked and self._made_half(generated[0]) is not None:
            return self._halves(generated[0])  # one batch of both kinds; what else D saw was for a penalty
        if not generated and len(asked) == 1 < len(others) and self._made_half(asked[0]) is None:
            asked = others  # real samples that want a gradient themselves, for a penalty on them
        others = asked or others
        if generated and others:
            return self._told(others[0], generated[0])
        if len(others) == 1 and others[0].probes:
            return None  # a step for a penalty alone
        if len(others) == 1:
            return self._halves(others[0])
        if len(others) > 1:
            return self._ordered(others[0], others[1])
        if len(generated) == 1:
            return self._halves(generated[0])
        if self._first is not None:  # G passes on what D is given with real samples too, a condition say
            one, other = sorted(generated, key=lambda call: call.time)[:2]
            return self._told(one, other) if self._first == "real" else self._told(other, one)
        self._puzzled("no call of a discriminator before its optimizer's step was on real data")
        return None

    def _both(self, logits: tuple[Any, ...]) -> tuple[Any, Any] | None:
        """The real and the generated logits of a discriminator that gives both."""
        if len(logits) != 2:
            self._puzzled(f"logits= gave {len(logits)} outputs for one call; give two, of real and generated samples")
            return None
        return logits[0], logits[1]

    def _made_half(self, call: Call) -> Tensor | None:
        """The latest output of G that is half as long as a batch."""
        if call.data is None:
            return None
        return next((made for made in reversed(self._made) if _is_half(made, call.data)), None)

    def _halves(self, call: Call) -> tuple[Any, Any] | None:
        """The halves of a batch that holds real and generated samples."""
        made = self._made_half(call)
        if call.place not in self._fake_half:
            self._fake_half[call.place] = None if made is None else _which_half(made, call.data)
        fake_first = None if made is None else self._fake_half[call.place]
        if fake_first is None and self._first is not None and made is not None:
            fake_first = self._first == "fake"
        if fake_first is None:
            self._puzzled(
                "one call of a discriminator held real and generated samples, and it is not seen which is which"
            )
            return None
        count = len(call.logits) // 2
        one, other = call.logits[:count], call.logits[count : 2 * count]
        return (other, one) if fake_first else (one, other)

    def _ordered(self, one: Call, other: Call) -> tuple[Any, Any] | None:
        if one.time < self._last_made < other.time:
            return self._told(one, other)
        if self._first is None:
            self._puzzled("it is not seen which of two calls of a discriminator was on generated samples")
            return None
        return self._told(one, other) if self._first == "real" else self._told(other, one)

    def _told(self, real: Call, generated: Call) -> tuple[Any, Any]:
        if not self._samples and real.data is not None and generated.data is not None:
            self._samples = {"real": real.data, "generated": generated.data}
        return real.logits, generated.logits


def _check_that_they_belong(networks: Sequence[nn.Module], rates: Rates, what: str) -> None:
    """Refuses networks of which the optimizers move no weight."""
    weights = {id(weight) for each in networks for weight in each.parameters()}
    moved = {id(weight) for each in rates.optimizers for group in each.param_groups for weight in group["params"]}
    if weights and not weights & moved:
        raise InvalidValueError(
            f"{rates.name} moves no weight of the {what} that watch was given; are networks or optimizers swapped, or "
            "is it a copy?"
        )


def _is_half(made: Tensor, data: Tensor) -> bool:
    return 2 * len(made) == len(data) if made.ndim and data.ndim else False


def _which_half(made: Tensor, data: Tensor | None) -> bool | None:
    """Whether the generated samples are the first half of a batch; waits for the device, but once in a run only."""
    if data is None or made.shape[1:] != data.shape[1:]:
        return None
    for fake_first, half in ((True, data[: len(made)]), (False, data[len(made) :])):
        if torch.equal(half, made.detach().to(half.dtype)):
            return fake_first
    return None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for each in value:
            yield from _tensors(each)


def _computed_from_made(given: Tensor) -> bool:
    """Whether an output of G is among what an input was computed from, with gradients."""
    waiting, known = deque([given.grad_fn]), {given.grad_fn}
    while waiting and len(known) < REACH:
        node = waiting.popleft()
        if node is None:
            continue
        if MARK in node.metadata:  # type: ignore[operator]  # a dictionary
            return True
        more = [each for each, _ in node.next_functions if each not in known]
        known.update(more)
        waiting.extend(more)
    return False


def _is_sigmoid(read: Tensor) -> bool:
    """Whether a tensor is the result of a sigmoid; it may have another shape since."""
    node = read.grad_fn
    while node is not None and node.name().startswith(SHAPES):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")


def _detached(read: Any) -> Any:
    if isinstance(read, tuple):
        return tuple(_detached(each) for each in read)
    return [each.detach() for each in _tensors(read)] if not isinstance(read, Tensor) else read.detach()
