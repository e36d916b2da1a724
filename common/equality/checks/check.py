"""What a check is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...errors import NotOfferedError
from ...port.protocol import Port
from ..cases import Case
from ..contract.factors import Row
from ..contract.reference import Answers

#: In float64, a check asks whether a port is the same function; in the others, whether it is accurate enough.
DTYPES = ("float64", "float32", "bfloat16", "float16")

#: Stands for an answer about what a port does not offer, in a check that asks about more: nothing is measured of it.
LEFT_OUT = object()


def unless_left_out(answer: Callable[[], Answers], quantities: Iterable[str]) -> Answers:
    """The answers, or that these quantities are left out."""
    try:
        return answer()
    except NotOfferedError:
        return dict.fromkeys(quantities, LEFT_OUT)


@dataclass(frozen=True)
class Check:
    """One kind of mistake, and how it is looked for.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        answer: (port, case, style) -> the port's arrays by quantity, in the dtype of the case; or LEFT_OUT.
        expect: (case) -> the oracle's arrays by quantity, in the dtype of the case.
        exact: compare bits instead of asking the two questions.
        styles_of: a phase: ask the first question once for each call style that the port has for it, and the second,
            which a style can't change, of the first one; otherwise style is None.
        dtypes: those of DTYPES in which it is asked; of checks with the same arithmetic, one asks about accuracy.
        computed_in: the dtype of the computation where it is not the case's.
        optimized: those of its dtypes in which it is asked of the program as users have it; in the others, of one that
            is compiled in haste. Between them, the checks ask so of every call style, of gradients, train steps and
            one step, and of accuracy.
        rows: instead of answers, rows of a design that each are a question: see `trigru.common.equality.contract`.
        at_random: each of these rows says for how long, and from which seed on, rows are drawn.
        by_name: asked only where it is asked for: the contract's rows ask the same and more, or it takes long.
    """

    name: str
    catches: str
    answer: Callable[[Port, Case, Any], Answers] = lambda port, case, style: {}
    expect: Callable[[Case], Answers] = lambda case: {}
    exact: bool = False
    styles_of: str | None = None
    dtypes: tuple[str, ...] = ("float64",)
    computed_in: str | None = None
    optimized: tuple[str, ...] = ()
    rows: Callable[[Port], list[Row]] | None = None
    at_random: bool = False
    by_name: bool = False
