"""Rows of the contract by what they are about: the names that users ask for, and under which failures are told."""

from typing import NamedTuple

from .factors import COARSE, COMPILED, Row, whole_row


class Selection(NamedTuple):
    """The rows that have one of some levels of a factor."""

    name: str  # stable, lower case
    what: str  # such rows are, after "rows of the contract"
    factor: str
    levels: tuple[str, ...] = ()  # none for all but the usual one

    def has(self, level: str) -> bool:
        """Whether a level of the factor is one of these."""
        return level in self.levels if self.levels else level != whole_row({})[self.factor]


SELECTIONS = (
    Selection("sequence", "with a sequence, or one step in a call style, in one call", "entry", ("whole",)),
    Selection("chunks", "with a sequence in two calls", "entry", ("chunks",)),
    Selection("step", "with a sequence step by step", "entry", ("steps",)),
    Selection("classifier", "with a readout of the last valid state", "entry", ("classifier",)),
    Selection("inference", "of forward passes alone", "phase", ("forward",)),
    Selection("jvp", "in forward mode", "phase", ("jvp",)),
    Selection("hvp", "with second derivatives", "phase", ("hvp", "penalty")),
    Selection("training", "that train for some steps", "phase", ("train_step",)),
    Selection("batch-axes", "with no batch axis, or several", "batch", ("none", "2x3", "2x1x3")),
    Selection("long", "of more than a thousand steps", "time", ("1100", "1280")),
    Selection("carry", "with a passed carry", "carry"),
    Selection("lengths", "with lengths", "lengths"),
    Selection("resets", "with resets", "resets"),
    Selection("reverse", "that run backwards", "reverse"),
    Selection("time-major", "in which time comes first", "time-major"),
    Selection("unroll", "with an unrolled loop", "unroll"),
    Selection("remat", "that recompute the gates", "remat"),
    Selection("vmap", "under `jax.vmap`", "transform", ("vmap", "ensemble", "per example")),
    Selection("frozen", "with the derivative of some arguments while all others are held", "transform", ("apart",)),
    Selection("eager", "that run outside of jit", "transform", ("eager",)),
    Selection("compiled", "that XLA compiles", "transform", COMPILED),
    Selection("faint", "with results near 0", "params", ("faint",)),
    Selection("closed", "with gates near 0", "params", ("closed",)),
    Selection("promotion", "with one array that is wider than the others", "wide"),
    Selection("dtype", "in other dtypes than float64", "dtype", COARSE),
    Selection("kernels", "in another kernel than the stock one", "kernel"),
    Selection("styles", "in a call style", "style"),
)
#: What failures of other levels are told under, by level or factor.
OTHERS = {"lengths dtype": "lengths", "batch": "batch-axes", "time": "long", "step": "step", "optimizer": "training"}
#: A failure of the usual row.
PLAIN = "sequence"


def told(levels: Row) -> str:
    """The names of the selections that a failure with these levels is told under.

    >>> told({"reverse": "yes", "entry": "chunks"})
    'chunks+reverse'
    """

    def name_of(factor: str, level: str) -> str:
        known = (selection.name for selection in SELECTIONS if selection.factor == factor and selection.has(level))
        return next(known, OTHERS.get(level, OTHERS.get(factor, factor)))

    return "+".join(sorted({name_of(*pair) for pair in levels.items()})) or PLAIN
