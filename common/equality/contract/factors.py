"""The factors that a call depends on, with their levels; levels that exclude each other; and named rows.

A row takes one level of each factor. Most rows come from a covering design over the levels of FACTORS; NAMED are rows
with levels that would be asked in vain in each combination. What changes data alone is asked within each row.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ...gru.kernels import STOCK
from ...port.protocol import DOCUMENTED, DONATED, FUNCTIONAL, LEAVES, Port, WithKernel
from ...port.styles import available_styles, labels_of, styles_called

Row = dict[str, str]  # a level of each factor, by the factor's name
NO_STYLE = (
    "none"  # the function is called directly, and not in one of the port's call styles
)
#: Transforms of rows that run as XLA compiles them, the first with all optimisations, the others with few. All other
#: rows are evaluated from their trace.
COMPILED = ("compiled", "quick", "eager")


class Factor(NamedTuple):
    """One thing that a call of the model depends on."""

    name: str  # stable, lower case
    levels: tuple[
        str, ...
    ]  # what it can be; the usual one first, to which a row that failed is brought back
    in_triples: bool = False  # each triple of its levels with those of two other such factors occurs, not pairs alone


class Rule(NamedTuple):
    """Levels that cannot go together: a row that has one of `when` for each factor may have those of `then` alone."""

    when: Mapping[str, tuple[str, ...]]
    then: Mapping[str, tuple[str, ...]]
    why: str  # what stands against the others

    def allows(self, row: Row) -> bool:
        """Whether a row, or as much of it as is known, keeps the rule."""
        applies = all(row.get(name) in levels for name, levels in self.when.items())
        return not applies or all(
            row.get(name, levels[0]) in levels for name, levels in self.then.items()
        )


class Space(NamedTuple):
    """All rows that a covering design can have."""

    factors: tuple[Factor, ...]
    rules: tuple[Rule, ...]
    only: str | None = None  # a factor: pairs with its levels alone are covered

    def allows(self, row: Row) -> bool:
        """Whether a row, or as much of it as is known, keeps every rule."""
        return all(rule.allows(row) for rule in self.rules)


FACTORS = (
    # what is called, and what is asked of it
    Factor("entry", ("whole", "chunks", "steps", "classifier")),
    Factor("phase", ("gradient", "forward", "jvp", "hvp", "train_step")),
    # sizes at the edges; 18 inputs are as many as 6 units have gates
    Factor("batch", ("3", "none", "1", "2x1x3")),
    Factor("time", ("17", "1", "2", "130")),
    Factor("inputs", ("5", "1", "18")),
    Factor("hidden", ("6", "1", "33")),
    # what is passed
    Factor("carry", ("none", "passed", "other dtype"), in_triples=True),
    Factor("lengths", ("none", "passed"), in_triples=True),
    Factor("lengths dtype", ("int32", "uint8", "int64", "int8")),
    Factor("resets", ("none", "passed"), in_triples=True),
    Factor("arrays", ("device", "weak")),
    # how it runs
    Factor("reverse", ("no", "yes"), in_triples=True),
    Factor("time-major", ("no", "yes"), in_triples=True),
    Factor("unroll", ("1", "dividing", "not dividing", "beyond")),
    Factor("remat", ("no", "yes"), in_triples=True),
    Factor("transform", ("jit", "vmap", "ensemble", "checkpoint")),
    Factor("style", (NO_STYLE, DOCUMENTED, FUNCTIONAL, LEAVES, DONATED)),
)

#: That of the computation, then that of the parameters where it is another one: inputs are float32 then, and promote
#: the narrower parameters, or are told to be narrower. Rows in the first ask whether a port is
#: the same function; those in the others whether it is as accurate as NumPy is in them.
DTYPES = (
    "float64",
    "float32",
    "bfloat16",
    "float16",
    "float32 of bfloat16",
    "bfloat16 of float32",
)
COARSE = DTYPES[1:]

RULES = (
    Rule(
        {"entry": ("steps",)},
        {
            "lengths": ("none",),
            "reverse": ("no",),
            "time-major": ("no",),
            "unroll": ("1",),
            "remat": ("no",),
        },
        "one step has no time axis, and no loop to unroll",
    ),
    Rule(
        {"entry": ("classifier",)},
        {
            "carry": ("none",),
            "resets": ("none",),
            "reverse": ("no",),
            "time-major": ("no",),
            "batch": ("3", "1"),
            "transform": ("jit", "ensemble", "checkpoint"),
        },
        "a classifier takes a batch of sequences and their lengths",
    ),
    Rule(
        {"entry": ("chunks",)}, {"time": ("17", "2", "130")}, "one step cannot be cut"
    ),
    Rule(
        {"unroll": ("dividing",)},
        {"time": ("2", "130")},
        "1 has no divisor above 1, and 17 only itself",
    ),
    Rule(
        {"unroll": ("not dividing",)},
        {"time": ("17", "130")},
        "1 and 2 have no smaller number but their divisors",
    ),
    Rule(
        {"lengths": ("none",)},
        {"lengths dtype": ("int32",)},
        "without lengths they have no dtype",
    ),
    Rule(
        {"transform": ("vmap",)},
        {"batch": ("3", "1", "2x1x3"), "time-major": ("no",)},
        "it maps batch axes alone",
    ),
    Rule(
        {"transform": ("checkpoint",)},
        {"phase": ("gradient", "hvp")},
        "what it keeps is kept for a gradient",
    ),
    Rule(
        {"arrays": ("weak",)},
        {"transform": ("jit", "vmap", "checkpoint")},
        "an ensemble makes arrays of them",
    ),
    Rule(
        {"style": (NO_STYLE,)},
        {"phase": ("gradient", "forward", "jvp", "hvp")},
        "a train step has a style",
    ),
    Rule(
        {"style": (DOCUMENTED, FUNCTIONAL, LEAVES)},
        {"phase": ("gradient", "forward", "train_step"), "transform": ("jit",)},
        "no style has forward mode or second derivatives, and none is called within a transform",
    ),
    Rule(
        {"style": (DONATED,)},
        {"phase": ("train_step",), "transform": ("jit",)},
        "only train steps donate",
    ),
)

_MANY_STEPS = {"time": ("17", "130")}
#: The levels of some factors in rows in the other dtypes. That every call style keeps a dtype is in named rows.
SHORT = {
    "time": ("17", "1", "130"),
    "hidden": ("6", "33"),
    "unroll": ("1", "not dividing"),
    "batch": ("3", "none", "2x1x3"),
    "style": (NO_STYLE, FUNCTIONAL),
}
#: Those in which there is a narrower dtype for a carry, and of which some array is in JAX's default dtype.
_WITH_FLOAT32 = {"dtype": ("float32", "float32 of bfloat16", "bfloat16 of float32")}
#: Rules of rows in the other dtypes. A carry of another dtype is one that the computation's holds, or is told to take.
COARSE_RULES = (
    Rule(
        {},
        {"phase": ("gradient", "forward", "train_step")},
        "the others need complex numbers, and half precision has none",
    ),
    Rule(
        {"carry": ("other dtype",)},
        _WITH_FLOAT32,
        "no dtype that a carry may have is narrower than half precision",
    ),
    Rule(
        {"arrays": ("weak",)},
        _WITH_FLOAT32,
        "a weak type is that of JAX's default, float32",
    ),
    Rule(
        {},
        {"lengths dtype": ("int32", "uint8", "int8")},
        "JAX makes int32 of int64 without x64",
    ),
    Rule(
        {"lengths": ("passed",)},
        _MANY_STEPS,
        "a mask of one or two steps may change nothing",
    ),
    Rule(
        {"resets": ("passed",)},
        _MANY_STEPS,
        "a mask of one or two steps may change nothing",
    ),
    Rule({"reverse": ("yes",)}, _MANY_STEPS, "one step has no direction"),
)

#: What a covering design covers in float64, and in the other dtypes.
SPACE = Space(FACTORS, RULES)
_SHORTENED = (
    factor._replace(levels=SHORT.get(factor.name, factor.levels)) for factor in FACTORS
)
_WITHOUT_FLOAT16 = tuple(
    dtype for dtype in COARSE if dtype != "float16"
)  # whose traces are those of bfloat16
COARSE_SPACE = Space(
    (*_SHORTENED, Factor("dtype", _WITHOUT_FLOAT16)),
    (*RULES, *COARSE_RULES),
    only="dtype",
)

_MASKED = {"lengths": "passed", "resets": "passed"}
#: Rows beside the covering design, by levels that are not the usual ones. Some of these levels occur here alone.
NAMED: tuple[Row, ...] = (
    # two batch axes; as many steps as examples, so that no shape tells axes apart
    {"batch": "2x3", **_MASKED, "carry": "passed"},
    {"batch": "2x3", **_MASKED, "time-major": "yes", "reverse": "yes"},
    {"batch": "17", **_MASKED, "time-major": "yes"},
    {"batch": "17", "entry": "steps", "resets": "passed", "carry": "passed"},
    # the initial carry that the model hands out
    {"carry": "handed out", "batch": "2x1x3", "resets": "passed"},
    {"carry": "handed out", "batch": "none", "phase": "jvp"},
    # results near 0, where tanh(a) is a; gates near 0 beside a large state
    {"params": "faint", "inputs": "18"},
    {"params": "faint", "inputs": "18", "entry": "steps", "phase": "forward"},
    {"params": "closed"},
    {"params": "closed", "entry": "steps", "phase": "forward"},
    # more steps than the dtype of lengths counts, in one call
    {"time": "130", "lengths": "passed", "lengths dtype": "int8", "phase": "forward"},
    # steps past the first thousand, of which powers of two divide 1280
    {"time": "1100", **_MASKED, "carry": "passed", "reverse": "yes", "remat": "yes"},
    {"time": "1280", "phase": "forward"},
    # more steps than half precision counts
    {"time": "520", "lengths": "passed", "dtype": "bfloat16", "phase": "forward"},
    # inputs that are wide beside the batch, which the fused kernel multiplies before its loop
    {"inputs": "64", "batch": "1", **_MASKED, "carry": "passed", "reverse": "yes"},
    # derivatives of one argument while all others are held, of each example by itself, and of gradients
    {"transform": "apart", "carry": "passed", "resets": "passed"},
    {"transform": "per example", "batch": "2x3", **_MASKED},
    {"phase": "penalty", "transform": "vmap", **_MASKED},
    {"phase": "penalty", "transform": "per example", **_MASKED},
    # one of several arrays is wider than the others
    *(
        {"wide": wide, "entry": entry, "carry": "passed", "phase": "forward"}
        for wide in ("carry", "inputs", "parameters")
        for entry in ("whole", "steps")
    ),
    # a model that is told in which dtype to compute, also where arrays promote to it
    *(
        {"dtype": dtype, "told": "yes", "entry": entry, "carry": "passed"}
        for dtype, entry in (
            ("float32 of bfloat16", "whole"),
            ("float32 of bfloat16", "steps"),
            ("float64", "chunks"),
        )
    ),
    {
        "dtype": "float32 of bfloat16",
        "told": "yes",
        "entry": "classifier",
        "lengths": "passed",
    },
    {
        "dtype": "bfloat16 of float32",
        "entry": "steps",
        "resets": "passed",
        "phase": "forward",
    },
    {"dtype": "float16", **_MASKED, "carry": "passed"},
    {"dtype": "float16", "entry": "classifier", "phase": "forward"},
    # other optimisers
    *(
        {"phase": "train_step", "style": DOCUMENTED, "optimizer": name}
        for name in ("clipped adamw", "carry rate")
    ),
    {
        "phase": "train_step",
        "style": DOCUMENTED,
        "optimizer": "adam",
        "entry": "classifier",
        "lengths": "passed",
    },
    # outside of jit, on NumPy's arrays and JAX's
    {
        "transform": "eager",
        "phase": "forward",
        "arrays": "strided",
        "carry": "passed",
        **_MASKED,
        "reverse": "yes",
        "lengths dtype": "uint8",
    },
)
#: What the call styles of a port are compiled with, one after the other: dtypes, masks and kinds of loop.
AS_COMPILED: tuple[Row, ...] = (
    {"dtype": "float32", **_MASKED, "carry": "passed", "reverse": "yes"},
    {"dtype": "bfloat16", "lengths": "passed", "unroll": "not dividing"},
    {"dtype": "float32", "remat": "yes", "lengths": "passed", "time-major": "yes"},
    {"dtype": "float64", **_MASKED, "carry": "passed"},
    {"dtype": "float16", "carry": "passed"},
    {"dtype": "bfloat16 of float32", "entry": "classifier", "lengths": "passed"},
    {"dtype": "float32", "resets": "passed", "inputs": "33", "hidden": "16"},
)
LOOP: Row = {
    "unroll": "not dividing",
    "remat": "yes",
}  # what each call style has to keep, beside the dtype
#: In which the kernels beside the stock one are compared; `--kernel` compares them in all rows.
OF_KERNELS: tuple[Row, ...] = (
    {**_MASKED, "carry": "passed", "reverse": "yes", "remat": "yes", "batch": "2x1x3"},
    {
        **_MASKED,
        "carry": "passed",
        "phase": "jvp",
        "time-major": "yes",
        "unroll": "beyond",
        "remat": "yes",
        "inputs": "64",
    },
    {**_MASKED, "carry": "passed", "phase": "penalty", "transform": "per example"},
    {"dtype": "bfloat16 of float32", "transform": "vmap"},
)
#: Accuracy at the sizes that people run.
SCALE: tuple[Row, ...] = tuple(
    {
        "transform": "compiled",
        "batch": "64",
        "time": "1024",
        "inputs": "64",
        "hidden": "512",
        "dtype": dtype,
    }
    for dtype in ("float32", "bfloat16")
)


def named_rows(port: Port) -> list[Row]:
    """The rows of a port beside those of its covering design, with their usual levels.

    Each call style is compiled once: the documented one of a train step in that, the others in turn in a gradient or a
    forward pass; those that frameworks are compared in, with all optimisations. Those that have no label are not in the
    covering design: they are evaluated in each phase here.
    """
    phases = ("forward", "gradient", "train_step")
    styles = {
        phase: [style.name for style in available_styles(port, phase)]
        for phase in (*phases, "step")
    }
    masks = (
        {"lengths": "passed"},
        {"resets": "passed", "carry": "passed"},
        {"entry": "classifier", "lengths": "passed"},
    )
    rows = [*NAMED]
    for number, name in enumerate(
        dict.fromkeys(name for phase in phases for name in styles[phase])
    ):
        some = [phase for phase in phases if name in styles[phase]]
        labels = {
            label for phase in phases for label in labels_of(port, phase).get(name, ())
        }
        phase = (
            "train_step"
            if name in styles["train_step"][:1]
            else ("gradient", "forward")[number % 2]
        )
        row = {
            "phase": phase if phase in some else some[0],
            "style": name,
            **AS_COMPILED[number % len(AS_COMPILED)],
        }
        rows.append(row | {"transform": "compiled" if labels - {DONATED} else "quick"})
        if not labels:
            rows += [
                {"style": name, "phase": phase, **LOOP} | mask
                for phase, mask in zip(some, masks, strict=False)
            ]
        rows.append(
            {"style": name, "phase": some[0], "dtype": "bfloat16 of float32", **LOOP}
        )
    rows += [
        {"style": name, "phase": "step", "time": "2", "carry": "passed"}
        for name in styles["step"]
    ]
    rows += [
        row | {"kernel": kernel} for kernel in other_kernels(port) for row in OF_KERNELS
    ]
    return [whole_row(row) for row in rows]


def other_kernels(port: Port) -> list[str]:
    """The kernels that a port offers beside the stock one; none where its models all have one kernel."""
    return [] if isinstance(port, WithKernel) else sorted(set(port.kernels) - {STOCK})


def one_by_one() -> list[Row]:
    """Rows in float64 in which one level is not the usual one, or as few as go together: what fails tells why."""
    rows = [whole_row({})]
    for factor in SPACE.factors:
        for level in factor.levels[1:]:
            more = ({}, {"phase": "train_step"}, {"lengths": "passed"}, {"time": "130"})
            some = (whole_row(levels | {factor.name: level}) for levels in more)
            rows += [row for row in some if SPACE.allows(row)][:1]
    return rows


#: The levels of a row where nothing else is said: those of FACTORS, and of what named rows alone change.
_USUAL = {factor.name: factor.levels[0] for factor in FACTORS} | {
    "dtype": DTYPES[0],
    "params": "random",
    "wide": "all",
    "told": "no",
    "optimizer": "momentum",
    "kernel": STOCK,
}


def whole_row(levels: Row) -> Row:
    """The row with these levels, all else as usual."""
    return _USUAL | levels


def unusual(row: Row) -> Row:
    """Its levels that are not the usual ones."""
    return {name: level for name, level in row.items() if level != _USUAL.get(name)}


def style_of(row: Row, port: Port) -> str | None:
    """The call style of a row, by its name; None where the function is called directly.

    A port that has no style of a row's label is asked in the first that it has for the phase.
    """
    if row["style"] == NO_STYLE:
        return None
    known = [style.name for style in available_styles(port, row["phase"])]
    called = [
        name
        for name in styles_called(port, [row["style"]], row["phase"])
        if name in known
    ]
    return (called or known or [row["style"]])[0]
