"""Every kind of mistake that is looked for. Adding a check is adding a row to `CHECKS`, at the end."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ...errors import UnknownNameError
from ...parameters.record import leaves
from ...port.protocol import Port
from ..cases import Case
from ..contract.designs import design_of, triples_design_of
from ..contract.drawing import drawing_row
from ..contract.programs import exported
from ..golden import golden_answers, golden_case
from .check import DTYPES, LEFT_OUT, Answers, Check, unless_left_out
from .derivatives import derivative_check, frozen_check, per_example_check
from .devices import devices_check, mesh_check
from .draws import draws_check
from .exchange import exchange_check, with_negative_zeros
from .extremes import (
    at_scale,
    closed,
    counted_check,
    divisible_steps,
    faint,
    held_check,
    many_steps,
    promotion_check,
    symbolic_check,
)
from .life import life_check
from .memory import memory_check
from .phases import ADAM, ADAMW_CLIPPED, CARRY_RATE, CARRY_RATE_BY_FIELD, SGD, forward_check, training_check
from .refusals import refusals_check
from .sequences import (
    SequenceQuestion,
    answer_sequence,
    by_step,
    in_chunks,
    inference_check,
    sequence_check,
    start_check,
    time_major,
    two_batch_axes,
    vmapped,
)

__all__ = ["CHECKS", "DTYPES", "ON_DEVICES", "THOROUGH", "Answers", "Check", "get_checks"]


def get_checks(*names: str) -> "tuple[Check, ...]":
    """Rows of CHECKS, THOROUGH and ON_DEVICES by name.

    >>> [check.name for check in get_checks("chunks")]
    ['chunks']
    """
    known = {check.name: check for check in (*CHECKS, *THOROUGH, *ON_DEVICES)}
    for name in names:
        if name not in known:
            raise UnknownNameError("check", name, list(known))
    return tuple(known[name] for name in names)


def _with_half_params(case: Case) -> Case:
    """The case with parameters rounded to bfloat16, and stored so unless it is the float64 reference."""
    rounded = case.astype("bfloat16")
    return replace(case, params=(rounded.widened() if case.dtype == "float64" else rounded).params)


def _converted(port: Port, case: Case, style: Any) -> Answers:
    """The parameters of a classifier, there and back; those of a GRU alone where the port has no classifier."""
    params = with_negative_zeros(case.params)
    found = unless_left_out(lambda: leaves(port.dump(port.load(case.config, params))), leaves(params))
    if any(array is LEFT_OUT for array in found.values()):
        found |= leaves(port.dump(port.load(case.gru_config, params.gru)))
    return found


def _eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


_masked = partial(SequenceQuestion, lengths=True, resets=True)

#: Each asks about one thing at a time, on one size, when asked by name. The rows of the contract ask about all of them,
#: and failures of rows are told by these names.
_ONE_BY_ONE = (
    sequence_check(
        "carry",
        "a passed carry ignored, mixed with the learned one, or cut off from the gradient",
        SequenceQuestion(passed=True),
    ),
    sequence_check(
        "chunks",
        "a carry lost or detached between chunks, so that no gradient reaches the initial carry",
        SequenceQuestion(in_chunks),
    ),
    sequence_check(
        "step",
        "one time step that differs from a sequence of them, or has parameters of its own",
        SequenceQuestion(by_step),
        optimized=("float64",),
    ),
    sequence_check(
        "step-reset",
        "an episode that does not start from the initial carry where one step is run at a time",
        SequenceQuestion(by_step, passed=True, resets=True),
    ),
    sequence_check(
        "lengths",
        "padding that moves the carry, or leaks into outputs or gradients; length 0",
        SequenceQuestion(lengths=True),
    ),
    sequence_check("resets", "an episode that does not start from the initial carry", SequenceQuestion(resets=True)),
    sequence_check(
        "masks",
        "lengths, resets and a passed carry that get into each other's way; a reset in the padding",
        _masked(passed=True),
        dtypes=("float64", "float32"),
        optimized=("float32",),
    ),
    sequence_check(
        "reverse",
        "a backward run that starts in the padding, resets after the step, or hands its outputs out in its own order",
        _masked(reverse=True),
    ),
    sequence_check(
        "batch-axes", "masks or carries that fit one batch axis alone", _masked(passed=True, view=two_batch_axes)
    ),
    sequence_check(
        "time-major", "axes mixed up where time comes first", _masked(run=time_major, passed=True, view=two_batch_axes)
    ),
    sequence_check(
        "unroll",
        "steps lost or run twice where the unrolling does not divide their number",
        SequenceQuestion(config={"unroll": 2}),
    ),
    sequence_check(
        "remat", "a recomputation of something else than was computed", SequenceQuestion(config={"remat": True})
    ),
    inference_check(
        "inference",
        "a pass that is not differentiated and that gives other values than one that is",
        {"plain": SequenceQuestion(), "masked": _masked(passed=True), "reverse": _masked(reverse=True)},
    ),
    inference_check(
        "eager",
        "results that depend on being jitted",
        {"plain": SequenceQuestion(transform=_eager), "passed": SequenceQuestion(passed=True, transform=_eager)},
    ),
    sequence_check(
        "export",
        "a program that jax.export cannot lower for cpu, cuda and tpu, or that differs when it is read back",
        SequenceQuestion(transform=exported),
    ),
    derivative_check("jvp", "a kernel without forward mode, or with another derivative there"),
    sequence_check(
        "dtype",
        "a dtype ignored, or half precision worse than NumPy's: stored in float32, computed in bfloat16",
        SequenceQuestion(config={"dtype": "bfloat16"}),
        dtypes=("float32",),
    ),
    sequence_check(
        "param-dtype",
        "a param_dtype ignored, or values computed in it: stored in bfloat16, computed in float32",
        SequenceQuestion(config={"dtype": "float32", "param_dtype": "bfloat16"}, view=_with_half_params),
        dtypes=("float32",),
    ),
)

CHECKS: tuple[Check, ...] = (
    # those that ask about the program as users have it are asked in any case
    *(replace(check, by_name=not check.optimized) for check in _ONE_BY_ONE),
    Check(
        "conversion",
        "a value changed, lost or misplaced between the canonical record and the framework's tree",
        _converted,
        lambda case: leaves(with_negative_zeros(case.params)),
        exact=True,
        dtypes=DTYPES,
    ),
    exchange_check(
        "exchange",
        "a value changed, lost or misplaced in torch's layout or trigru's own, by which parameters are handed to "
        "others; a damaged array that is taken for one",
    ),
    sequence_check(
        "sequence",
        "other equations, gates in another order, a transposed or missing parameter, a detached initial carry",
        dtypes=DTYPES,
        optimized=("float32", "bfloat16", "float16"),
    ),
    Check(
        "golden",
        "a change in oracle and port together: the answers are in a file",
        lambda port, case, style: answer_sequence(_masked(), port, golden_case()),
        lambda case: golden_answers(),
    ),
    forward_check("forward", "a call style that runs another model"),
    training_check(
        "training",
        "20 Adam steps that part: a parameter not updated, updated twice, or by another one's gradient; a call style "
        "that differentiates something else, or loses an update or the optimiser's state",
        ADAM,
        per_style=True,
        dtypes=("float64", "float32"),
        optimized=("float32",),
    ),
    training_check("sgd", "a gradient off by a factor, which Adam divides out", SGD),
    training_check("adamw", "a norm or a decay that sees other leaves: 20 clipped AdamW steps", ADAMW_CLIPPED),
    training_check(
        "classifier",
        "as training, with unequal lengths and a readout of another state than the last valid one",
        ADAM,
        classes=True,
    ),
    training_check(
        "carry-rate",
        "an initial carry that `carry_learning_rate` does not find by its path, or another parameter taken for it",
        CARRY_RATE,
        reference=CARRY_RATE_BY_FIELD,
    ),
    start_check(
        "start",
        "an initial carry that the model hands out and that is another one, of another shape or dtype, or is cut off "
        "from a gradient or a jvp",
    ),
    sequence_check(
        "long",
        "steps that are dropped after the first hundreds, or counted in too few bits",
        SequenceQuestion(lengths=True, view=many_steps),
    ),
    sequence_check(
        "long-reverse",
        "a long sequence that runs backwards in pieces, as to save memory, and has these in the wrong order",
        SequenceQuestion(passed=True, resets=True, reverse=True, view=divisible_steps, config={"remat": True}),
    ),
    counted_check("counted", "lengths that are counted in 16 bits, of an integer or of the dtype that is computed in"),
    symbolic_check("symbolic", "a batch size that has to be known when a program, or its gradient, is exported"),
    derivative_check(
        "hvp",
        "second derivatives (a Hessian-vector product, a gradient penalty of mapped models): missing, or those of "
        "another function",
        second=True,
    ),
    per_example_check(
        "per-example", "gradients that mix, or change places, where each example's own is asked for by `jax.vmap`"
    ),
    frozen_check("frozen", "a gradient that is another one, or lost, where all other parameters are held fixed"),
    sequence_check(
        "vmap",
        "examples or models that mix under vmap, where there is no batch axis",
        SequenceQuestion(vmapped, passed=True),
    ),
    mesh_check("mesh", "a call that `jax.shard_map` or a mesh of explicit axes does not take, be it of one device"),
    sequence_check(
        "faint",
        "a result near 0 that is lost in the sum with something large, as in tanh by way of a sigmoid; a square matrix "
        "that is transposed",
        SequenceQuestion(view=faint),
    ),
    sequence_check(
        "closed",
        "a gate near 0 that is lost in the sum with 1, as in a sigmoid by way of tanh, beside a large state",
        SequenceQuestion(view=closed),
    ),
    promotion_check(
        "promotion",
        "arrays that are multiplied in their own dtype where another, of inputs, parameters and carry, is wider",
    ),
    held_check("held", "padding that is computed and multiplied by zero, so that what is not finite goes through it"),
    Check(
        "contract",
        "two levels of what a call depends on that do not go together: sizes, masks, flags, dtypes, kinds of input, "
        "transforms, call styles; values that saturate, vanish or are zero",
        rows=design_of,
    ),
    life_check(
        "life",
        "a model that is another one when it is called again, made again, copied, pickled, flattened or loaded anew; a "
        "choice (dtype, unroll, remat, kernel) that is lost on the way",
    ),
    draws_check(
        "draws",
        "parameters drawn from another distribution, or twice by one key; a `make` that cannot be traced; a "
        "`carry_init` that is not asked, or for something else",
    ),
    refusals_check(
        "refusals", "a bad call that goes through, or fails inside the framework; a good one that is refused"
    ),
    memory_check(
        "memory",
        "`remat` that keeps as much as is kept without it, or is merged with the forward pass when unrolled; a donated "
        "train step that keeps what it replaces",
    ),
)

#: What takes minutes, and is asked by name or by `--thorough`.
THOROUGH: tuple[Check, ...] = (
    Check("triples", "three levels of what a call depends on that do not go together", rows=triples_design_of),
    Check(
        "random",
        "what shows at sizes that no design has: rows of any size, drawn by hypothesis for a while",
        rows=lambda port: [drawing_row(30.0, 0)],
        at_random=True,
    ),
    sequence_check(
        "scale",
        "accuracy that is lost at the sizes that people run: 64 sequences of 1024 steps, 64 inputs, 512 units",
        SequenceQuestion(view=at_scale),
        dtypes=("float32", "bfloat16"),
        optimized=("float32", "bfloat16"),
    ),
)

#: What needs several devices, and is asked by name or by `--devices`.
ON_DEVICES: tuple[Check, ...] = (
    devices_check(
        "devices",
        "a batch that is spread over devices and gives other values or gradients, or cannot be; devices that exchange "
        "data at every step where that can be avoided",
    ),
)
