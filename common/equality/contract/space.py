"""The factors of the contract with their levels, and the rules that say which levels
exclude each other.

A factor is a field of `Case`, of which a covering design is to have each level listed
here. Levels that would be asked in vain in each combination stand in `named.py` alone.
What changes the values of arrays is asked within each case: `arrays.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...port.names import DOCUMENTED, DONATED, FUNCTIONAL, LEAVES, PHASES
from .cases import (
    BFLOAT16,
    BFLOAT16_OF_FLOAT32,
    DTYPES,
    FLOAT32,
    FLOAT32_OF_BFLOAT16,
    USUAL,
    Case,
    name_of,
    word_of,
)

Levels = Mapping[str, tuple[object, ...]]  # by field of `Case`


@dataclass(frozen=True)
class Factor:
    """One thing that a call of the model depends on.

    Args:
        field: of `Case`.
        levels: what it can be, the usual one first.
        in_triples: whether each triple of its levels with those of two other such
            factors is to occur, and not pairs alone.
    """

    field: str
    levels: tuple[object, ...]
    in_triples: bool = False

    @property
    def name(self) -> str:
        """The name as people read it."""
        return name_of(self.field)

    @property
    def words(self) -> list[str]:
        """The levels as people read them."""
        return [word_of(self.field, level) for level in self.levels]


@dataclass(frozen=True)
class Rule:
    """Levels that exclude each other: a case with `when`, a level of each of its
    fields, has only levels of `then`.
    """

    when: Levels
    then: Levels
    why: str  # what stands against the others

    def allows(self, levels: Mapping[str, object]) -> bool:
        """Whether the levels of a case, by field, keep the rule; as far as they are
        there.
        """
        for field, allowed in self.when.items():
            if field not in levels or levels[field] not in allowed:
                return True
        for field, allowed in self.then.items():
            if field in levels and levels[field] not in allowed:
                return False
        return True

    def __str__(self) -> str:
        return (
            f"{in_words(self.when) or 'every row'}: only {in_words(self.then)}, "
            f"since {self.why}."
        )


@dataclass(frozen=True)
class Space:
    """All cases that a covering design can have.

    Args:
        name: of its part of `rows.json`.
        factors: each with its levels.
        rules: which levels exclude each other.
        only: a field; pairs with its levels alone are covered. None for all pairs and
            triples.
    """

    name: str
    factors: tuple[Factor, ...]
    rules: tuple[Rule, ...]
    only: str | None = None

    def allows(self, case: Case) -> bool:
        """Whether a case keeps every rule."""
        return self.allows_levels(vars(case))

    def allows_levels(self, levels: Mapping[str, object]) -> bool:
        """Whether some levels by field keep every rule, as far as they are there."""
        return all(rule.allows(levels) for rule in self.rules)

    def holds(self, case: Case) -> bool:
        """Whether each level of a case is one of its factor's."""
        return all(
            getattr(case, factor.field) in factor.levels for factor in self.factors
        )


def in_words(levels: Levels) -> str:
    """Levels as people read them, as "lengths passed and phase forward or jvp"."""
    parts = []
    for field, some in levels.items():
        words = [word_of(field, level) for level in some]
        parts.append(f"{name_of(field)} {' or '.join(words)}")
    return " and ".join(parts)


#: The labels whose call styles are in covering designs.
DESIGNED_LABELS = (DOCUMENTED, FUNCTIONAL, LEAVES, DONATED)
#: What is asked of a sequence in a call style.
STYLED_PHASES = tuple(phase for phase in PHASES if phase != "step")

FACTORS = (
    # what is called, and what is asked of it
    Factor("entry", ("whole", "again", "chunks", "steps")),
    Factor("phase", ("gradient", "forward", "jvp", "hvp", "train_step")),
    # sizes at the edges; 18 inputs are as many as 6 units have gates
    Factor("batch", ((3,), (), (1,), (2, 1, 3))),
    Factor("time", (17, 1, 2, 130)),
    Factor("inputs", (5, 1, 18)),
    Factor("hidden", (6, 1, 144)),
    # what is passed
    Factor("carry", ("none", "passed", "other dtype"), in_triples=True),
    Factor("lengths", (False, True), in_triples=True),
    Factor("lengths_dtype", ("int32", "uint8", "int64", "int8")),
    Factor("resets", (False, True), in_triples=True),
    Factor("arrays", ("device", "weak")),
    # how it runs
    Factor("reverse", (False, True), in_triples=True),
    Factor("time_major", (False, True), in_triples=True),
    Factor("unroll", ("1", "dividing", "not dividing", "beyond")),
    Factor("remat", (False, True), in_triples=True),
    Factor("transform", ("jit", "vmap", "ensemble", "checkpoint", "held")),
    Factor("told_dtype", (False, True)),
    Factor("style", (None, *DESIGNED_LABELS)),
)

RULES = (
    Rule(
        {"entry": ("steps",)},
        {
            "lengths": (False,),
            "reverse": (False,),
            "time_major": (False,),
            "unroll": ("1",),
            "remat": (False,),
        },
        "one step has no time axis, and no loop to unroll",
    ),
    Rule({"entry": ("chunks",)}, {"time": (17, 2, 130)}, "one step cannot be cut"),
    Rule(
        {"hidden": (144,)},
        {"time": (17, 1, 2), "phase": ("gradient", "forward", "train_step")},
        "many units take long in longdouble, and differ in few steps",
    ),
    Rule(
        {"unroll": ("dividing",)},
        {"time": (2, 130)},
        "1 has no divisor above 1, and 17 only itself",
    ),
    Rule(
        {"unroll": ("not dividing",)},
        {"time": (17, 130)},
        "1 and 2 have no smaller number but their divisors",
    ),
    Rule(
        {"lengths": (False,)},
        {"lengths_dtype": ("int32",)},
        "without lengths they have no dtype",
    ),
    Rule(
        {"transform": ("vmap",)},
        {"batch": ((3,), (1,), (2, 1, 3)), "time_major": (False,)},
        "it maps batch axes alone",
    ),
    Rule(
        {"transform": ("checkpoint",)},
        {"phase": ("gradient", "hvp")},
        "what it keeps is kept for a gradient",
    ),
    Rule(
        {"transform": ("held",)},
        {"phase": ("gradient", "forward")},
        "what moves along a direction is the model, too",
    ),
    Rule(
        {"arrays": ("weak",)},
        {"transform": ("jit", "vmap", "checkpoint", "held")},
        "an ensemble makes arrays of them",
    ),
    Rule(
        {"style": (None,)},
        {"phase": ("gradient", "forward", "jvp", "hvp")},
        "a train step has a style",
    ),
    Rule(
        {"style": (DOCUMENTED, FUNCTIONAL, LEAVES)},
        {"phase": STYLED_PHASES, "transform": ("jit",)},
        "no style has forward mode or second derivatives, and none is called within a "
        "transform",
    ),
    Rule(
        {"style": (DONATED,)},
        {"phase": ("train_step",), "transform": ("jit",)},
        "only train steps donate",
    ),
)

COARSE = DTYPES[1:]
_MANY_STEPS: Levels = {"time": (17, 130)}
#: Those in which there is a narrower dtype for a carry, and of which some array is in
#: JAX's default dtype.
_WITH_FLOAT32: Levels = {"dtypes": (FLOAT32, FLOAT32_OF_BFLOAT16, BFLOAT16_OF_FLOAT32)}
#: Rules of cases in other dtypes than float64, beside RULES.
COARSE_RULES = (
    Rule(
        {},
        {"phase": STYLED_PHASES},
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
        {"lengths_dtype": ("int32", "uint8", "int8")},
        "JAX makes int32 of int64 without x64",
    ),
    Rule(
        {"lengths": (True,)},
        _MANY_STEPS,
        "a mask of one or two steps may change nothing",
    ),
    Rule(
        {"resets": (True,)},
        _MANY_STEPS,
        "a mask of one or two steps may change nothing",
    ),
    Rule({"reverse": (True,)}, _MANY_STEPS, "one step has no direction"),
)
#: The levels of some factors in cases in other dtypes. That every call style keeps a
#: dtype is in named cases.
SHORT: Levels = {
    "time": (17, 1, 130),
    "hidden": (6, 33),
    "unroll": ("1", "not dividing"),
    "batch": ((3,), (), (2, 1, 3)),
    "style": (None, FUNCTIONAL),
}


def _coarse_factors() -> tuple[Factor, ...]:
    """The factors of cases in other dtypes: fewer levels, and the dtype.

    The traces of float16 are bfloat16's.
    """
    factors = []
    for factor in FACTORS:
        levels = SHORT.get(factor.field, factor.levels)
        factors.append(Factor(factor.field, levels, factor.in_triples))
    dtypes = (FLOAT32, BFLOAT16, FLOAT32_OF_BFLOAT16, BFLOAT16_OF_FLOAT32)
    return (*factors, Factor("dtypes", dtypes))


#: What covering designs cover in float64, and in other dtypes.
SPACE = Space("float64", FACTORS, RULES)
COARSE_SPACE = Space(
    "others", _coarse_factors(), (*RULES, *COARSE_RULES), only="dtypes"
)
SPACES = (SPACE, COARSE_SPACE)


def one_by_one() -> list[Case]:
    """Cases in float64 in which one level is not the usual one, or as few as go
    together: what fails tells why.
    """
    cases = [USUAL]
    surroundings = (
        {},
        {"phase": "train_step"},
        {"lengths": True},
        {"time": 130},
    )
    for factor in SPACE.factors:
        for level in factor.levels[1:]:
            for others in surroundings:
                case = Case(**{**others, factor.field: level})
                if SPACE.allows(case):
                    cases.append(case)
                    break
    return cases
