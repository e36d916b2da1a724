"""What a fault is, and two ways to plant a fault in plain JAX."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..pure import PORT, Params, PurePort


@dataclass(frozen=True)
class Fault:
    """A faulty port.

    Args:
        name: stable.
        what: what is wrong, in a few words.
        check: the check that is there for this fault; others may notice it too.
        port: plain JAX with the fault.
    """

    name: str
    what: str
    check: str
    port: PurePort


class Edited(PurePort):
    """`change(params)` returns the parameters that are replaced on the way into the computation."""

    def __init__(self, change: Callable[[Params], dict[str, Any]]):
        self._change = change

    def apply(self, model, x, carry=None, **options):
        return super().apply(edit(model, self._change), x, carry, **options)

    def step(self, model, x, carry=None):
        return super().step(edit(model, self._change), x, carry)


class Applied(PurePort):
    """`change(call, model, x, carry, **options)` stands for apply; `call` is the right one."""

    def __init__(self, change: Callable[..., Any]):
        self._change = change

    def apply(self, model, x, carry=None, **options):
        return self._change(PORT.apply, model, x, carry, **options)


def edit(model: Any, change: Callable[[Any], dict[str, Any]]) -> Any:
    """The model with some parameters replaced."""
    return replace(model, params=model.params._replace(**change(model.params)))
