"""A framework's module, taken apart."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

#: (params, state, inputs, mode, keywords) -> (outputs, new state).
Call = Callable[[Any, Any, Any, str, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Parts:
    """A framework's module as parameters and a function.

    `trigru.parity.Model` makes a model of them.

    Args:
        framework: its name, as in `FORMATS` of `trigru.impls.parity.saving`.
        params: a pytree of parameters.
        state: a pytree of what goes in and comes out beside the parameters.
        call: the function, which takes the mode and the user's keywords for it.
        params_of: takes the parameters out of what the user's `make` returns.
        whole: (params, state) -> what the framework writes to its files; None where it
            has none.
        has_modes: whether the module itself is switched between training and
            evaluation.
        state_paths: the paths of the leaves of the state; None where its pytree tells
            them.
        hint: what may be wrong if a call fails, in a sentence.
        programs: a class of programs, in the place of `TracedProgram`.
    """

    framework: str
    params: Any
    state: Any
    call: Call
    params_of: Callable[[Any], Any]
    whole: Callable[[Any, Any], Any] | None = None
    has_modes: bool = False
    state_paths: Sequence[str] | None = None
    hint: str = ""
    programs: Callable[..., Any] | None = None
