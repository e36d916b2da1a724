"""The checks, as data: what each catches, and how."""

from importlib.resources import files

import numpy as np
from safetensors.numpy import load

from ...errors import UnknownNameError
from ...parameters.record import from_leaves
from ...port.protocol import Port, class_of
from ..contract import design
from ..contract.arrays import USUAL_VALUES, CallArrays
from ..contract.calling import answers_of
from ..contract.cases import Case
from ..contract.expected import Answers
from ..contract.named import SCALE
from ..contract.space import one_by_one
from . import calls, classes, conversion, devices, draws, export, life, memory, refusals
from .check import DTYPES, Check, Trial

__all__ = [
    "CHECKS",
    "DTYPES",
    "ON_DEVICES",
    "SELECTIONS",
    "Check",
    "Trial",
    "get_checks",
]


def get_checks(*names: str) -> "tuple[Check, ...]":
    """Checks by name, those that are not run by default among them.

    >>> [check.name for check in get_checks("reverse")]
    ['reverse']
    """
    by_name = {check.name: check for check in (*CHECKS, *SELECTIONS, *ON_DEVICES)}
    for name in names:
        if name not in by_name:
            raise UnknownNameError("check", name, list(by_name))
    return tuple(by_name[name] for name in names)


def golden() -> dict[str, np.ndarray]:
    """What the oracle once gave in float64: parameters, inputs, and answers from the
    learned start, with both masks.

    Four sequences of 9 steps, 3 inputs, 5 units, lengths 0 and 9 among them; gradients
    are those of Σ outputs · targets + Σ carry · d_carry. The other checks compare ports
    with the oracle as it is now: a change in both, or in NumPy, shows only here.
    `.ci/golden.py` writes the file, which changes only together with the equations.
    """
    return load((files("trigru.common") / "data" / "golden.safetensors").read_bytes())


def _golden(port: Port) -> list[Trial]:
    stored = golden()
    case = Case(batch=(4,), time=9, inputs=3, hidden=5, lengths=True, resets=True)
    arrays = CallArrays(
        (USUAL_VALUES,),
        from_leaves(stored),
        x=stored["x"][None],
        carry=None,
        lengths=stored["lengths"][None],
        resets=stored["resets"][None],
        weights=stored["targets"][None],
        d_carry=stored["d_carry"][None],
    )
    expected = {}
    for name, array in stored.items():
        if name.startswith("answer "):
            expected[name.removeprefix("answer ")] = array

    def run() -> Answers:
        (answers,) = answers_of(case, port, arrays)
        return answers

    return [Trial("the answers in the file", run, expected)]


def _singly(port: Port) -> list[Case]:
    return one_by_one()


def _scale(port: Port) -> list[Case]:
    return list(SCALE)


CHECKS: tuple[Check, ...] = (
    Check(
        "contract",
        "other equations; two levels of what a call depends on that are wrong "
        "together: sizes, masks, flags, dtypes, kinds of input, transforms, call "
        "styles, optimisers; values that saturate, vanish or are zero; a choice "
        "(dtype, unroll, remat, kernel) that is lost in a call; and, where rows are "
        "compiled, a program that is less accurate than NumPy",
        cases=design.design_of,
    ),
    Check(
        "conversion",
        "a value changed, lost or misplaced between the canonical record, the "
        "framework's tree, torch's layout and a file; a bad file that is written or "
        "read; a frozen start with an optimizer's state",
        conversion.conversions,
    ),
    Check(
        "golden",
        "a change in oracle and port together: the answers are in a file",
        _golden,
    ),
    Check(
        "start",
        "an initial carry that the model hands out and that is another one, or of "
        "another shape or dtype",
        calls.start,
    ),
    Check("counted", "lengths that are counted in 16 bits", calls.counted),
    Check(
        "export",
        "a program, or its gradient, that jax.export cannot lower for cpu, cuda and "
        "tpu, that needs to know its batch size, or that differs when it is read back",
        export.export,
    ),
    Check(
        "mesh",
        "a call that `jax.shard_map` or a mesh of explicit axes does not take, on one "
        "device",
        devices.on_one_device,
    ),
    Check(
        "held",
        "padding that is multiplied by zero, so that a carry that is not finite "
        "becomes another one in it; a NaN that is hidden, or reaches another example",
        calls.held,
    ),
    Check(
        "life",
        "a model that is another one when it is made again, copied, pickled, flattened "
        "or loaded anew; a choice (dtype, unroll, remat, kernel) that is lost on the "
        "way; a setting of JAX, or NumPy's random state, that is left changed",
        life.life,
    ),
    Check(
        "draws",
        "parameters drawn from another distribution, or twice by one key; a `make` "
        "that cannot be traced; a `carry_init` that is not called, or for another "
        "shape or dtype",
        draws.draws,
    ),
    Check(
        "refusals",
        "a bad call that goes through, or fails inside the framework; a good one that "
        "is refused; a `load` that calls `carry_init`",
        refusals.refusals,
    ),
    Check(
        "class",
        "a class that does something else than its port: defaults, initializers, sizes "
        "of NumPy's, a start that is not learned, and bad options that go through",
        classes.of_class,
        is_for=class_of,
    ),
    Check(
        "memory",
        "`remat` that keeps more than three quarters of what is kept without it, or is "
        "merged with the forward pass when unrolled; a gradient that keeps more than "
        "1.3 times what JAX's derivative of the equations keeps, or with another "
        "kernel more than with stock; a donated train step that keeps what it replaces",
        memory.memory,
    ),
)
#: Rows of the contract by what they ask: for whoever wants to know about one thing.
SELECTIONS: tuple[Check, ...] = (
    *(
        Check(s.name, f"rows of the contract {s.what}", cases=s.cases)
        for s in design.SELECTIONS
    ),
    Check(
        "singly",
        "rows in float64 with one level that is not the usual one, or as few as go "
        "together",
        cases=_singly,
        by_levels=True,
    ),
    Check(
        "scale",
        "accuracy at large sizes (minutes, about 10 GB): 64 sequences of 1024 steps, "
        "64 inputs, 512 units",
        cases=_scale,
    ),
)
#: What needs several devices, and is run by name or by `--devices`.
ON_DEVICES: tuple[Check, ...] = (
    Check(
        "devices",
        "a batch that is spread over devices and gives other values or gradients, or "
        "cannot be; devices that exchange data at every step where that can be avoided",
        devices.on_all_devices,
    ),
)
