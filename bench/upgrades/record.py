"""What a snapshot holds, and what a change between two snapshots is.

A snapshot says all that is true of what is installed, apart from the clock. It is data
alone: a record of facts, and arrays, which the facts name by a hash of their content.
`snapshot_file` writes and reads it.
"""

from msgspec import Struct

from ...common.errors import TrigruError
from ..results.build import Count
from ..results.machine import Machine

#: The version of this format. It rises with each field that is added, renamed or lost.
SCHEMA = 11

#: What a change can be, causes before what follows from them, and what it means.
KINDS = {
    "code": "A package has other code under the same version.",
    "tree": "A model has other leaves, or they stand in another order.",
    "arguments": (
        "A public name or an argument is gone, a new argument is required, or "
        "defaults or the order of arguments changed."
    ),
    "function": "Another result is computed, beyond rounding.",
    "draws": "Other parameters are drawn from the same key.",
    "broken": "Something no longer works.",
    "calls": "A call traces again, or runs more Python.",
    "kept": "More is kept for the gradient.",
    "work": "A program has over a quarter more operations.",
    "warnings": "There is a new warning.",
    "memory": "A program needs more memory.",
    "bits": "A result is rounded in another way.",
    "program": "The compiled program is another one.",
    "better": "Something works now, costs less, or is new.",
}
HARMLESS = ("memory", "bits", "program", "better")
#: The kinds that fail, unless the user says otherwise.
FAILING = tuple(kind for kind in KINDS if kind not in HARMLESS)
#: The kinds that one may ask for.
FACTS = tuple(kind for kind in KINDS if kind != "better")

#: What the subject of a framework's own parts is called, by the name of its port.
PARTS_OF = {
    "pure": "jax, optax",
    "linen": "linen's parts",
    "nnx": "nnx's parts",
    "equinox": "equinox's parts",
}
#: The observation of a user's model under which stands what it was called with.
ARGUMENTS = "the arguments"
#: What may be lacking of a user's call, and what is compared then.
LACKING = {
    "gradient": "It has no gradient: values alone are compared.",
    "trace": (
        "JAX cannot trace it as one program: it is run as it is, and its results are "
        "compared in their own precision."
    ),
    "evaluation": (
        "NumPy cannot evaluate it in float64: its results are compared in their own "
        "precision, and no line of code is named."
    ),
}
#: How often a function is called after its first call, to see whether it traces again.
WARM_CALLS = 6

#: The names of arrays, by what they are; in the order in which they are computed.
ArrayNames = dict[str, str]


class Trail(Struct, forbid_unknown_fields=True):
    """What a program computes, value by value, and on which lines of code."""

    #: Each once, with its operation, as "flax/linen/recurrent.py:593 (mul of shape
    #: 4x8)".
    lines: list[str]
    #: Names an array of whole numbers, one operation after the other: its line, how
    #: many operands and results it has, the numbers of the operands, and of the
    #: results.
    steps: str
    #: Names an array with a row of numbers for each value; see `trails`.
    signatures: str


class Program(Struct, forbid_unknown_fields=True):
    """What JAX and XLA made of a function, in counts; None where nothing was
    counted.
    """

    equations: Count | None = None  # of the trace
    kept_bytes: Count | None = None  # that the forward pass keeps for the gradient
    operations: Count | None = None  # of StableHLO
    dots: Count | None = None
    fusions: Count | None = None
    loops: Count | None = None
    transposes: Count | None = None
    temporary_bytes: Count | None = None  # of memory, while it runs
    fingerprint: str | None = None  # of the optimised HLO


class Cost(Struct, forbid_unknown_fields=True):
    """What a call costs apart from its program, in counts, which have no noise.

    They stand for the time that Python needs to dispatch a call.
    """

    traces: Count  # in the first call and `WARM_CALLS` later ones
    leaves: Count  # arrays that cross the jit boundary inwards
    functions: Count  # of Python that one call runs
    lines: Count  # of Python that one call runs


class Observation(Struct, forbid_unknown_fields=True):
    """All that was seen of one function, one call, or one way to draw parameters."""

    draws: ArrayNames = {}  # parameters that were drawn from a fixed key, by path
    #: Dtype and shape of parameters and results by path, in their order.
    leaves: dict[str, str] = {}
    results: ArrayNames = {}  # of a call as a user makes it
    texts: dict[str, str] = {}  # results that are no arrays, such as names of errors
    #: Results and gradients of the traced function, evaluated in NumPy in float64.
    exact_results: ArrayNames = {}
    trail: Trail | None = None  # of that evaluation
    #: How far rounding moves each result of a user's call: from its evaluation in
    #: float64, or, where that is lacking, from the same call compiled in another way.
    rounding: dict[str, float] = {}
    #: A hash of the random bits that the program draws; "" where it draws none.
    random_bits: str = ""
    #: What could not be had of a user's call, of `LACKING`, and why.
    lacks: dict[str, str] = {}
    program: Program | None = None
    cost: Cost | None = None
    explained_by: str = ""  # the observation whose trail shows where this one changed


class Warned(Struct, frozen=True, forbid_unknown_fields=True):
    """A warning."""

    where: str  # when, and the file, as "at call, flax/nnx/graph.py"
    text: str  # its class and its first line
    line: str = ""  # the line of code that warns; it moves with each release


class Subject(Struct, forbid_unknown_fields=True):
    """A port with one of its kernels, a framework's own parts, or a model of a
    user's.
    """

    name: str  # "linen", "linen:fused" or "linen's parts"
    framework: str  # the port with the same framework, or the source of a user's model
    missing: str = ""  # why it is not there; "" if it is
    #: Call styles, each with the reason why the installed versions lack it, else "".
    styles: dict[str, str] = {}
    #: By what was looked at. A call of a port is told by its phase, style and dtype, as
    #: "train_step apply float32".
    observations: dict[str, Observation] = {}
    #: Of each public function or class, the arguments with their defaults; "" for none.
    signatures: dict[str, dict[str, str]] = {}
    warnings: list[Warned] = []
    problems: dict[str, str] = {}  # what did not work, with the exception

    def observe(self, name: str) -> Observation:
        """What was seen under a name; a new record where nothing was seen so far."""
        return self.observations.setdefault(name, Observation())


class Snapshot(Struct, forbid_unknown_fields=True):
    """All that is true of what is installed, apart from the clock."""

    schema: int
    command: list[str]  # words of the command, without the folder
    datetime: str  # when it was taken
    machine: Machine  # with the installed versions
    subjects: list[Subject]
    #: Of each package that the ports need and that is a release: its Python files, each
    #: with the CRC-32 of its content without the version.
    sources: dict[str, dict[str, Count]] = {}


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was."""

    kind: str  # of `KINDS`
    subject: str  # the name of a `Subject`, or of a package
    what: str  # the fact, in words
    old: str
    new: str
    line: str = ""  # of code that computes something else, and what stood there before


class SnapshotError(TrigruError, ValueError):
    """A snapshot, or a matrix of them, is not there, damaged, or of another schema."""
