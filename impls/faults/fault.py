"""The record of a fault, and two ways to plant one in plain JAX."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from ...common.port.protocol import Port
from ..pure import PORT, Classifier, Params, PurePort


@dataclass(frozen=True)
class Fault:
    """A port of plain JAX with a fault."""

    name: str  # stable
    what: str  # is wrong, in a few words
    check: str  # the one that is there for this fault; others may notice it too
    port: Port
    levels: dict[str, str] = field(default_factory=dict)  # with which it shows, where the check has rows


class Edited(PurePort):
    """`change(params)` returns the parameters that are replaced on the way into the computation."""

    def __init__(self, change: Callable[[Params], dict[str, Any]]):
        self._change = change

    def apply(self, model, x, carry=None, **options):
        return super().apply(edit(model, self._change), x, carry, **options)

    def step(self, model, x, carry=None, *, reset=None):
        return super().step(edit(model, self._change), x, carry, reset=reset)


class Applied(PurePort):
    """`change(call, model, x, carry, **options)` stands for apply; `call` is the right one."""

    def __init__(self, change: Callable[..., Any]):
        self._change = change

    def apply(self, model, x, carry=None, **options):
        return self._change(PORT.apply, model, x, carry, **options)


def edit(model: Any, change: Callable[[Any], dict[str, Any]]) -> Any:
    """The model with some parameters of its GRU replaced."""
    params = model.params
    if isinstance(params, Classifier):
        return replace(model, params=params._replace(gru=params.gru._replace(**change(params.gru))))
    return replace(model, params=params._replace(**change(params)))
