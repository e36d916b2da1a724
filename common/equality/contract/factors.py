"""What the contract depends on: factors with levels, and which levels cannot go together.

A row of the design takes one level of each factor. Those here change the compiled program; what changes data alone is
in `trigru.common.equality.contract.data` and runs within each row, on the program that it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...port.protocol import Port, WithKernel
from ...port.styles import available_styles

#: A level of each factor, by the factor's name.
Row = dict[str, str]

#: The function is called directly, and not in one of the port's call styles.
NO_STYLE = "none"


@dataclass(frozen=True)
class Factor:
    """One thing that a call of the model depends on.

    Args:
        name: stable, lower case.
        levels: what it can be; the first is the usual one.
        in_triples: whether each triple of its levels with those of two other such factors occurs, and not each pair
            alone.
    """

    name: str
    levels: tuple[str, ...]
    in_triples: bool = False

    @property
    def usual(self) -> str:
        """The level that a failed row is brought back to, to see whether it fails without this factor."""
        return self.levels[0]


@dataclass(frozen=True)
class Rule:
    """Levels that cannot go together.

    Args:
        when: levels by factor; the rule is about rows that have one of them for each.
        then: levels by factor that such a row may have.
        why: what stands against the others.
    """

    when: Mapping[str, tuple[str, ...]]
    then: Mapping[str, tuple[str, ...]]
    why: str

    def allows(self, row: Mapping[str, str]) -> bool:
        """Whether a row, or as much of it as is known, keeps the rule."""
        for name, levels in self.when.items():
            if row.get(name) not in levels:
                return True
        return all(name not in row or row[name] in levels for name, levels in self.then.items())


@dataclass(frozen=True)
class Space:
    """All rows that a port can be asked."""

    factors: tuple[Factor, ...]
    rules: tuple[Rule, ...]

    @property
    def usual(self) -> Row:
        """The row of the usual levels."""
        return {factor.name: factor.usual for factor in self.factors}

    @cached_property
    def rules_of(self) -> dict[str, list[Rule]]:
        """The rules about each factor that some rule is about, by its name."""
        names = {name: None for rule in self.rules for name in (*rule.when, *rule.then)}
        return {name: [rule for rule in self.rules if name in rule.when or name in rule.then] for name in names}

    def allows(self, row: Mapping[str, str], changed: str | None = None) -> bool:
        """Whether a row, or as much of it as is known, keeps every rule.

        Args:
            row: levels by factor.
            changed: a factor; without its level the row is known to keep the rules.
        """
        rules = self.rules if changed is None else self.rules_of.get(changed, ())
        return all(rule.allows(row) for rule in rules)


FACTORS = (
    # what is called, and what is asked of it
    Factor("entry", ("whole", "chunks", "steps", "classifier")),
    Factor("phase", ("gradient", "forward", "jvp", "hvp", "train_step")),
    # sizes at the edges; remainders of vector widths
    Factor("batch", ("3", "none", "1", "2x1x3")),
    Factor("time", ("17", "1", "2", "130")),
    Factor("inputs", ("5", "1", "33")),
    Factor("hidden", ("6", "1", "16", "129")),
    # what is passed
    Factor("carry", ("none", "passed", "other dtype"), in_triples=True),
    Factor("lengths", ("none", "passed"), in_triples=True),
    Factor("lengths dtype", ("int32", "uint8", "int64", "int8")),
    Factor("resets", ("none", "passed"), in_triples=True),
    Factor("arrays", ("device", "numpy", "strided", "weak")),
    # how it runs
    Factor("reverse", ("no", "yes"), in_triples=True),
    Factor("time-major", ("no", "yes"), in_triples=True),
    Factor("unroll", ("1", "dividing", "not dividing", "beyond"), in_triples=True),
    Factor("remat", ("no", "yes"), in_triples=True),
    Factor("transform", ("jit", "eager", "vmap", "ensemble", "checkpoint", "export")),
)

#: That of the computation, then that of the parameters where it is another one: inputs are float32 then, and promote
#: the narrower parameters, or are told to be narrower. Rows in the first ask whether a port is
#: the same function; those in the others whether it is as accurate as NumPy is in them.
DTYPES = ("float64", "float32", "bfloat16", "float16", "float32 of bfloat16", "bfloat16 of float32")
COARSE = DTYPES[1:]
#: Which factors make triples with the dtype: each entry casts a carry by itself, and may lose a mask where it casts.
CAST = ("entry", "carry", "lengths", "resets", "reverse", "time-major")

#: What the fused kernel may be told.
CHOICES = ("default", "save=some", "save=none", "hoist=true", "chunk=3", "unroll=2")

_ONE_CALL = {"unroll": ("1",), "remat": ("no",)}
_NO_MASKS = {"lengths": ("none",), "reverse": ("no",), "time-major": ("no",)}

RULES = (
    Rule({"entry": ("steps",)}, {**_NO_MASKS, **_ONE_CALL}, "one step has no time axis, and no loop to unroll"),
    Rule(
        {"entry": ("classifier",)},
        {
            "carry": ("none",),
            "resets": ("none",),
            "reverse": ("no",),
            "time-major": ("no",),
            "batch": ("3", "1"),
            "transform": ("jit", "eager", "ensemble", "checkpoint", "export"),
        },
        "a classifier takes a batch of sequences and their lengths",
    ),
    Rule({"entry": ("chunks",)}, {"time": ("17", "2", "130")}, "one step cannot be cut"),
    Rule(
        {"unroll": ("dividing",)},
        {"time": ("2", "130")},
        "1 has no divisor above 1, and 17 only itself, which takes XLA long",
    ),
    Rule({"unroll": ("not dividing",)}, {"time": ("17", "130")}, "every number below divides it"),
    Rule({"unroll": ("beyond",)}, {"time": ("1", "2")}, "many steps in one program take XLA long"),
    Rule({"transform": ("eager",)}, {"phase": ("forward",)}, "a derivative is traced in any case"),
    Rule(
        {"transform": ("eager",)},
        {"batch": ("3", "none"), "time": ("17",), "inputs": ("5",), "hidden": ("6",)},
        "each operation is compiled anew for each size",
    ),
    Rule({"lengths": ("none",)}, {"lengths dtype": ("int32",)}, "without lengths they have no dtype"),
    Rule({"transform": ("vmap",)}, {"batch": ("3", "1", "2x1x3"), "time-major": ("no",)}, "it maps batch axes alone"),
    Rule({"transform": ("checkpoint",)}, {"phase": ("gradient", "hvp")}, "what it keeps is kept for a gradient"),
    Rule({"transform": ("export",)}, {"phase": ("gradient", "forward")}, "inference and training are exported"),
    Rule({"arrays": ("numpy", "strided")}, {"transform": ("eager",)}, "other transforms make tracers of them"),
    Rule({"arrays": ("weak",)}, {"transform": ("jit", "eager", "vmap", "checkpoint")}, "others make arrays of them"),
)

_LOOPS = ("whole", "chunks", "classifier")
_SAVED = "what is saved is saved for a derivative"
#: Rules of the fused kernel's choices: where one makes no difference to the program, no pair with it is asked.
CHOICE_RULES = (
    Rule({"choices": CHOICES[1:]}, {"entry": _LOOPS}, "one step runs no kernel"),
    Rule({"choices": ("save=some",)}, {"phase": ("gradient", "jvp", "hvp", "train_step")}, _SAVED),
    Rule(
        {"choices": ("save=none",), "phase": ("forward",)},
        {"time": ("17", "130")},
        f"{_SAVED}, and fewer steps are one chunk",
    ),
    Rule({"choices": ("save=some", "save=none")}, {"remat": ("no",)}, "`remat` saves nothing, whatever is chosen"),
    Rule({"choices": ("chunk=3",)}, {"time": ("17", "130")}, "fewer steps are one chunk"),
    Rule({"choices": ("unroll=2",)}, {"unroll": ("1",)}, "the choice stands for the model's own"),
)

_MANY_STEPS = {"time": ("17", "130")}
#: Rules of rows in the other dtypes. A carry of another dtype is one that the computation's holds, or is told to take.
COARSE_RULES = (
    Rule({}, {"phase": ("gradient", "forward", "train_step")}, "NumPy has no other way to these in a coarse dtype"),
    Rule(
        {"carry": ("other dtype",)},
        {"dtype": ("float32", "float32 of bfloat16", "bfloat16 of float32")},
        "half precision has none that is narrower",
    ),
    Rule(
        {"arrays": ("weak",)},
        {"dtype": ("float32", "float32 of bfloat16", "bfloat16 of float32")},
        "a weak type is that of JAX's default, float32",
    ),
    Rule({"lengths dtype": ("int64",)}, {"arrays": ("numpy", "strided")}, "JAX makes int32 of it without x64"),
    Rule({"lengths": ("passed",)}, _MANY_STEPS, "a mask of one or two steps may change nothing"),
    Rule({"resets": ("passed",)}, _MANY_STEPS, "a mask of one or two steps may change nothing"),
    Rule({"reverse": ("yes",)}, _MANY_STEPS, "one or two steps, in chunks, have no direction"),
)


def space_of(port: Port, *, coarse: bool = False) -> Space:
    """What a port can be asked.

    Args:
        port: its call styles and its kernel make two more factors.
        coarse: in other dtypes than float64.
    """
    phases: dict[str, set[str]] = {}
    for phase in ("forward", "gradient", "train_step"):
        for style in available_styles(port, phase):
            phases.setdefault(style.name, set()).add(phase)
    rules = [
        Rule({"style": (NO_STYLE,)}, {"phase": ("gradient", "forward", "jvp", "hvp")}, "a train step has a style"),
        *(
            Rule({"style": (name,)}, {"phase": tuple(sorted(of)), "transform": ("jit",)}, "what the style has")
            for name, of in phases.items()
        ),
    ]
    factors = [*FACTORS, Factor("style", (NO_STYLE, *phases))]
    if isinstance(port, WithKernel) and port.kernel == "fused":
        factors.append(Factor("choices", CHOICES))
        rules += CHOICE_RULES
    if coarse:
        factors.append(Factor("dtype", COARSE))
        rules += COARSE_RULES
    return Space(tuple(factors), (*RULES, *rules))
