"""What a fault is, and two ways to plant a fault in plain JAX."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any

from ...common.port.protocol import Port
from ..pure import PORT, Classifier, Params, PurePort


@dataclass(frozen=True)
class Elsewhere:
    """A faulty port of a framework, which is not imported before it is asked for."""

    framework: str  # the port in which the fault is planted
    port: str  # the name of the faulty one's class, in the module of that framework's faults here


@dataclass(frozen=True)
class Fault:
    """A faulty port."""

    name: str  # stable
    what: str  # is wrong, in a few words
    check: str  # the one that is there for this fault; others may notice it too
    planted: Port | Elsewhere
    levels: dict[str, str] = field(default_factory=dict)  # with which it shows, where the check has rows

    @property
    def port(self) -> Port:
        """The port with the fault."""
        return _imported(self.planted) if isinstance(self.planted, Elsewhere) else self.planted

    @property
    def needs(self) -> str:
        """The name of the port in which it is planted, and without whose framework it can't be asked about."""
        return self.planted.framework if isinstance(self.planted, Elsewhere) else PORT.name


@cache
def _imported(planted: Elsewhere) -> Port:
    return getattr(import_module(f".in_{planted.framework}", __package__), planted.port)()


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
