"""How the networks of a model are called in training: compiled, or with their activations computed again."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ganzoo.trainer import Frozen

Call = Callable[..., Any]


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """The networks that a model is made of: its children, through containers, and what is frozen."""
    for child in module.children():
        if isinstance(child, nn.ModuleDict | nn.ModuleList):
            yield from networks(child)
        else:
            yield child.load() if isinstance(child, Frozen) else child


def calls(network: nn.Module) -> Iterator[str]:
    """What a model calls a network by: `forward`, and public methods of its own classes, such as `features`."""
    yield "forward"
    for cls in type(network).__mro__:
        for name, method in vars(cls).items() if cls.__module__.partition(".")[0] != "torch" else ():
            if inspect.isfunction(method) and not name.startswith("_") and not hasattr(nn.Module, name):
                yield name


def _replace(module: nn.Module, change: Callable[[nn.Module, Call], Call]) -> None:
    for network in dict.fromkeys(networks(module)):
        for name in dict.fromkeys(calls(network)):
            setattr(network, name, change(network, getattr(network, name)))


def compile_networks(module: nn.Module, recompute: bool) -> None:
    """Compiles all calls of all networks when they are first made; `recompute`: keeping no activations in between."""
    torch._functorch.config.activation_memory_budget = 0.0 if recompute else 1.0
    _replace(module, lambda network, call: torch.compile(call))


class Recomputation:
    """Networks that keep, while it is `on`, no activations for the backward pass but compute them again in it.

    To the bit what they were: dropout draws the same, statistics of batch norm are not collected twice, and parameters
    are trained or not as they were then.
    """

    def __init__(self, module: nn.Module, on: bool) -> None:
        self.on = on
        _replace(module, self._recomputed)

    @contextmanager
    def switched(self, on: bool) -> Iterator[None]:
        """Inside, it is on or off."""
        before, self.on = self.on, on
        try:
            yield
        finally:
            self.on = before

    def _recomputed(self, network: nn.Module, call: Call) -> Call:
        def alone(*args: Any, **kwargs: Any) -> Any:
            with self.switched(False):  # what it calls of the same network is computed again with it
                return call(*args, **kwargs)

        def recomputed(*args: Any, **kwargs: Any) -> Any:
            if not (self.on and torch.is_grad_enabled()):
                return call(*args, **kwargs)
            contexts = (nullcontext(), _AsBefore(network))
            return checkpoint(alone, *args, use_reentrant=False, context_fn=lambda: contexts, **kwargs)

        return recomputed


class _AsBefore:
    """Inside, as often as it is entered, a network's buffers and its parameters' flags are as they are now."""

    def __init__(self, network: nn.Module) -> None:
        self.flags = [(p, p.requires_grad) for p in network.parameters()]
        self.places: list[tuple[dict[str, Any], str]] = [
            (m._buffers, key) for m in network.modules() for key, b in m._buffers.items() if b is not None
        ]
        self.buffers: list[Tensor] = [place[key].clone() for place, key in self.places]

    def __enter__(self) -> None:
        self.later = [(p, p.requires_grad) for p, _ in self.flags], [place[key] for place, key in self.places]
        self._set(self.flags, [buffer.clone() for buffer in self.buffers])

    def __exit__(self, *error: object) -> None:
        self._set(*self.later)

    def _set(self, flags: list[tuple[nn.Parameter, bool]], buffers: list[Tensor]) -> None:
        for parameter, flag in flags:
            parameter.requires_grad = flag
        for (place, key), buffer in zip(self.places, buffers, strict=True):
            place[key] = buffer
