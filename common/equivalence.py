"""Is a port the same function as the oracle, and as accurate as its dtype allows?

Two questions, never mixed:

- **same**, asked in float64, where a real difference and rounding are many orders apart: the largest error is at
  most 1e-12 of the largest reference magnitude;
- **accurate**, asked in a working dtype: the error against the float64 oracle is at most 4 times the error that the
  oracle's own equations, evaluated by NumPy in that dtype on the same inputs, make, plus 4 units in the last place.

A check is a row of `CHECKS`: what the port answers, what the oracle answers, and what a difference would mean.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from . import oracle
from .config import GRUConfig
from .params import ClassifierParams, GRUParams, leaves, random_params
from .port import CallStyle, Port, make_task
from .task import Batch

__all__ = [
    "CHECKS",
    "Case",
    "Check",
    "Measurement",
    "Trajectory",
    "accuracy_bound",
    "assert_equivalent",
    "relative_error",
    "trajectory",
    "verify",
]

SAME_BOUND = 1e-12
ACCURACY_FACTOR = 4
ACCURACY_ULPS = 4

Answers = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Random, non-zero data for one model. Arrays are NumPy's, floating ones in one dtype."""

    params: ClassifierParams  # of C classes
    x: np.ndarray  # (B, T, D)
    carry: np.ndarray  # (B, H)
    lengths: np.ndarray  # (B,) int32, 0 and T among them where B allows
    resets: np.ndarray  # (B, T) bool
    targets: np.ndarray  # (B, T, H); also the weights of the outputs in a differentiated scalar
    d_carry: np.ndarray  # (B, H), weights of the final carry in that scalar
    labels: np.ndarray  # (B,) int32, in [0, C)
    asked_in: str = "float64"  # the dtype of the question, also when the arrays are widened to answer it

    @classmethod
    def random(
        cls, batch: int, time: int, input_size: int, hidden_size: int, classes: int = 5, seed: int = 0
    ) -> "Case":
        """Draw a case in float64."""
        rng = np.random.default_rng(seed)
        lengths = rng.integers(1, time + 1, batch)
        lengths[:2] = (0, time)[:batch]
        return cls(
            params=random_params(GRUConfig(input_size, hidden_size, classes, param_dtype="float64"), seed),
            x=rng.normal(size=(batch, time, input_size)),
            carry=rng.normal(size=(batch, hidden_size)),
            lengths=lengths.astype(np.int32),
            resets=rng.random((batch, time)) < 0.3,
            targets=rng.normal(size=(batch, time, hidden_size)),
            d_carry=rng.normal(size=(batch, hidden_size)),
            labels=rng.integers(0, classes, batch).astype(np.int32),
        )

    def astype(self, dtype: str) -> "Case":
        """The same case with every floating array rounded to a dtype, to ask about that dtype."""
        return replace(self._cast(dtype), asked_in=dtype)

    def widened(self) -> "Case":
        """The same question with the same values in float64, for the reference."""
        return self._cast("float64")

    def _cast(self, dtype: str) -> "Case":
        arrays = {name: getattr(self, name).astype(dtype) for name in ("x", "carry", "targets", "d_carry")}
        return replace(self, params=jax.tree.map(lambda p: p.astype(dtype), self.params), **arrays)

    @property
    def dtype(self) -> str:
        """Of the floating arrays."""
        return str(self.x.dtype)

    @property
    def config(self) -> GRUConfig:
        """Of the classifier that `params` belong to."""
        classes, hidden_size = self.params.readout.weight.shape
        return GRUConfig(self.x.shape[-1], hidden_size, classes, param_dtype=self.dtype)

    @property
    def gru_config(self) -> GRUConfig:
        """Of the GRU alone."""
        return replace(self.config, classes=None)


@dataclass(frozen=True)
class Check:
    """One way to be wrong.

    Args:
        name: stable, lower case.
        catches: what a difference here means.
        answer: (port, case, style) -> the port's arrays by quantity, in the dtype of the case.
        expect: (case) -> the oracle's arrays by quantity, in the dtype of the case.
        exact: compare bits instead of asking the two questions.
        per_style: ask once for each call style of the port; otherwise style is None.
        in_working_dtype: False for a check whose accuracy another one measures: asked in float64 alone.
    """

    name: str
    catches: str
    answer: Callable[[Port, Case, Any], Answers]
    expect: Callable[[Case], Answers]
    exact: bool = False
    per_style: bool = False
    in_working_dtype: bool = True


@dataclass(frozen=True)
class Measurement:
    """One quantity of one check, in one dtype.

    Args:
        style: the call style, where the check asks each.
        error: largest difference, relative to the largest reference magnitude; NaN where there is none.
        bound: the largest error that passes.
        problem: why there is no error to compare, or None.
    """

    port: str
    check: str
    style: str | None
    quantity: str
    dtype: str
    error: float
    bound: float
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the error was measured and is within the bound."""
        return self.problem is None and self.error <= self.bound

    def __str__(self) -> str:
        where = f"{self.port}[{self.style}]" if self.style else self.port
        what = self.problem or f"error {self.error:.1e}, at most {self.bound:.1e} allowed"
        return f"{where}: {self.check}: {self.quantity} in {self.dtype}: {what}"


def verify(
    ports: Iterable[Port],
    *,
    dtypes: Iterable[str] = ("float64", "float32"),
    cases: Iterable[Case] | None = None,
    checks: "Iterable[Check] | None" = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[Measurement]:
    """Hold ports to the oracle.

    Args:
        ports: what to check.
        dtypes: "float64" asks whether a port is the same function, any other whether it is accurate.
        cases: data to check on; by default three sequences of 17 steps, 5 inputs, 6 units.
        checks: rows of CHECKS; by default all.
        progress: called before each step of the work with the steps done, their number, and the next one's name.

    Returns:
        A measurement for each port, check, call style, quantity, dtype and case. What raises has failed.
    """
    cases = (Case.random(3, 17, 5, 6),) if cases is None else tuple(cases)
    checks = CHECKS if checks is None else tuple(checks)
    rows = [
        (check, port, style)
        for check in checks
        for port in ports
        for style in (available_styles(port) if check.per_style else [None])
    ]
    measurements: list[Measurement] = []
    for number, (check, port, style) in enumerate(rows):
        progress(number, len(rows), f"{port.name}: {check.name}")
        for dtype in dtypes:
            if dtype == "float64" or check.in_working_dtype:
                for case in cases:
                    measurements += _measure(port, check, style, case.astype(dtype))
    return measurements


def assert_equivalent(port: Port, **options: Any) -> None:
    """Raise AssertionError, naming what differs, unless a port passes every check of `verify`.

    Args:
        port: what to check.
        options: those of `verify`.

    >>> from trigru.impls import get_port
    >>> assert_equivalent(get_port("pure"), dtypes=["float32"], checks=CHECKS[:2])
    """
    failures = [m for m in verify([port], **options) if not m.passed]
    if failures:
        raise AssertionError("not equivalent to the oracle:\n" + "\n".join(map(str, failures)))


def relative_error(got: Any, reference: Any) -> float:
    """The largest difference, relative to the largest reference magnitude (or absolute, where that is 0)."""
    reference = np.asarray(reference, np.float64)
    difference = np.abs(np.asarray(got, np.float64) - reference).max()
    return float(difference / (np.abs(reference).max() or 1.0))


def accuracy_bound(in_dtype: Any, reference: Any, dtype: str) -> float:
    """What a working dtype may differ by: 4 times NumPy's own error in it, plus 4 units in the last place."""
    return ACCURACY_FACTOR * relative_error(in_dtype, reference) + ACCURACY_ULPS * float(jnp.finfo(dtype).eps)


@dataclass(frozen=True)
class Trajectory:
    """Training by the oracle's gradients: what a train step is held to.

    Args:
        losses: before each step, (steps,).
        start: parameters before the first step.
        end: parameters after the last.
        weights: how much each entry's move counts, by name.
    """

    losses: np.ndarray
    start: Any
    end: Any
    weights: dict[str, np.ndarray]

    def moved(self, end: Any) -> dict[str, np.ndarray]:
        """How far parameters moved from the start, by name, weighted.

        Where accuracy is asked for, an entry's weight is its gradient's magnitude: Adam divides by that magnitude, so
        where a gradient is no larger than its rounding error, the sign of the move is noise, and the loss does not
        feel it. Where sameness is asked for, in float64, every entry counts alike.
        """
        start, end = leaves(self.start), leaves(end)
        return {f"Δ {name}": self.weights[name] * (np.asarray(end[name]) - start[name]) for name in start}

    def answers(self) -> Answers:
        """Losses and moves by quantity."""
        return {"losses": self.losses} | self.moved(self.end)


def trajectory(
    params: Any, batch: Batch, optimizer: optax.GradientTransformation, steps: int, *, weighted: bool
) -> Trajectory:
    """Train with the oracle's gradients, in the dtype of the parameters.

    Args:
        params: GRUParams (loss: mean squared error at every step) or ClassifierParams (cross-entropy).
        batch: one batch, used at every step.
        optimizer: an optax optimiser.
        steps: how many.
        weighted: weigh each entry's move by its gradient's magnitude (the first step's), as Trajectory explains.
    """
    loss_and_grad = oracle.classifier_loss if isinstance(params, ClassifierParams) else oracle.sequence_loss
    update = jax.jit(optimizer.update)
    losses, start, state, weights = [], params, optimizer.init(params), {}
    for _ in range(steps):
        loss, gradient = loss_and_grad(params, *batch)
        losses.append(loss)
        if not weights:
            weights = {name: np.abs(g) / np.abs(g).max() for name, g in leaves(gradient).items()}
        updates, state = update(gradient, state, params)
        params = jax.tree.map(lambda p, u: p + np.asarray(u), params, updates)
    if not weighted:
        weights = {name: np.ones_like(w) for name, w in weights.items()}
    return Trajectory(np.stack(losses), start, params, weights)


@contextmanager
def _precision(dtype: str) -> Iterator[None]:
    """JAX with 64-bit types only where asked for, and products that are not silently TF32."""
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        yield


def available_styles(port: Port) -> list[CallStyle]:
    """The call styles of a port that the installed versions have."""
    return [style for style in port.call_styles if style.missing() is None]


def _measure(port: Port, check: Check, style: CallStyle | None, case: Case) -> Iterator[Measurement]:
    dtype = case.dtype

    def measurement(quantity: str, error: float, bound: float, problem: str | None = None) -> Measurement:
        return Measurement(port.name, check.name, style and style.name, quantity, dtype, error, bound, problem)

    with _precision("float64"):
        reference = check.expect(case.widened())
    with _precision(dtype):
        in_dtype = check.expect(case)
        try:
            answers = {name: np.asarray(array) for name, array in check.answer(port, case, style).items()}
        except Exception as error:  # a port may fail in any way; the others go on
            problem = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            yield measurement("call", np.nan, 0, problem)
            return
    for quantity, want in reference.items():
        got = answers.get(quantity)
        if got is None or np.shape(got) != np.shape(want):
            said = "nothing" if got is None else f"shape {np.shape(got)}"
            yield measurement(quantity, np.nan, 0, f"{said}, expected shape {np.shape(want)}")
        elif got.dtype != in_dtype[quantity].dtype:
            yield measurement(quantity, np.nan, 0, f"dtype {got.dtype}, expected {in_dtype[quantity].dtype}")
        elif check.exact:
            same = got.tobytes() == in_dtype[quantity].tobytes()
            yield measurement(quantity, relative_error(got, want), 0, None if same else "bits differ")
        else:
            bound = SAME_BOUND if dtype == "float64" else accuracy_bound(in_dtype[quantity], want, dtype)
            yield measurement(quantity, relative_error(got, want), bound)


# What a port answers, and what the oracle does ----------------------------------------------------------------


def _conversion(port, case, style):
    return leaves(port.dump(port.load(case.config, case.params)))


def _sequence_check(name, catches, run, *, passed=False, lengths=False, resets=False):
    """A check of one way to run a sequence: outputs, final carry and every gradient.

    `run(port, model, case, x, carry)` returns the final carry and the outputs.
    """

    def answer(port, case, style):
        def scalar(model, x, carry=None):
            carry, outputs = run(port, model, case, x, carry)
            return jnp.sum(outputs * case.targets) + jnp.sum(carry * case.d_carry)

        @jax.jit
        def everything(model, *arrays):
            carry, outputs = run(port, model, case, arrays[0], arrays[1] if passed else None)
            return carry, outputs, port.value_and_grad(scalar)(model, *arrays)[1]

        model = port.load(case.gru_config, case.params.gru)
        arrays = (case.x, case.carry) if passed else (case.x,)
        carry, outputs, (gradient, *others) = everything(model, *arrays)
        gradients = leaves(port.dump(gradient)) | dict(zip(("x", "carry"), others, strict=False))
        return {"carry": carry, "outputs": outputs} | _named_gradients(gradients)

    def expect(case):
        tape = oracle.forward(
            case.params.gru,
            case.x,
            case.carry if passed else None,
            case.lengths if lengths else None,
            case.resets if resets else None,
        )
        found = oracle.backward(case.params.gru, tape, case.targets, case.d_carry)
        gradients = found.params._asdict() | {"x": found.x} | ({"carry": found.carry} if passed else {})
        return {"carry": tape.carry, "outputs": tape.outputs} | _named_gradients(gradients)

    return Check(name, catches, answer, expect)


def _named_gradients(arrays):
    return {f"d {name}": array for name, array in arrays.items()}


def _whole(port, model, case, x, carry):
    return port.apply(model, x, carry)


def _with_lengths(port, model, case, x, carry):
    return port.apply(model, x, carry, lengths=case.lengths)


def _with_resets(port, model, case, x, carry):
    return port.apply(model, x, carry, lengths=case.lengths, resets=case.resets)


def _in_chunks(port, model, case, x, carry):
    """Two uneven chunks, the first without a carry, the second from the first's."""
    split = x.shape[1] // 3
    outputs = []
    for chunk in (x[:, :split], x[:, split:]):
        if chunk.shape[1]:
            carry, y = port.apply(model, chunk, carry)
            outputs.append(y)
    return carry, jnp.concatenate(outputs, axis=1)


def _by_step(port, model, case, x, carry):
    """The first step without a carry, the others each from the one before."""
    carry, first = port.step(model, x[:, 0], carry)
    carry, rest = jax.lax.scan(lambda h, x: port.step(model, x, h), carry, jnp.moveaxis(x[:, 1:], 1, 0))
    return carry, jnp.concatenate([first[:, None], jnp.moveaxis(rest, 0, 1)], axis=1)


def _program_check(name, catches, phase, *, classes=False, per_style=False):
    """A check of one phase as the benchmark runs it: in the port's first call style, or in each."""

    def trained(case):
        if classes:
            return case.config, case.params, Batch(case.x, case.labels, case.lengths)
        return case.gru_config, case.params.gru, Batch(case.x, case.targets)

    def train(case, params, batch, steps):
        return trajectory(params, batch, TRAJECTORY_OPTIMIZER, steps, weighted=case.asked_in != "float64")

    def answer(port, case, style):
        config, params, batch = trained(case)
        task = make_task(port, config, phase, TRAJECTORY_OPTIMIZER)
        program = (style or available_styles(port)[0]).build(port, port.load(config, params), task)
        arguments = batch.arguments(phase)
        if phase == "forward":
            return dict(zip(("carry", "outputs"), program.call(*arguments), strict=True))
        losses = np.stack([program.call(*arguments) for _ in range(TRAJECTORY_STEPS)])
        return {"losses": losses} | train(case, params, batch, steps=1).moved(program.params())

    def expect(case):
        _, params, batch = trained(case)
        if phase == "forward":
            tape = oracle.forward(params, batch.x)
            return {"carry": tape.carry, "outputs": tape.outputs}
        return train(case, params, batch, TRAJECTORY_STEPS).answers()

    return Check(name, catches, answer, expect, per_style=per_style, in_working_dtype=not per_style)


TRAJECTORY_OPTIMIZER = optax.adam(1e-2)
TRAJECTORY_STEPS = 20

CHECKS: tuple[Check, ...] = (
    Check(
        "conversion",
        "a value changed, lost or misplaced between the canonical record and the framework's tree",
        _conversion,
        lambda case: leaves(case.params),
        exact=True,
    ),
    _sequence_check(
        "sequence",
        "other equations, gates in another order, a transposed or missing parameter, a detached initial carry",
        _whole,
    ),
    _sequence_check(
        "carry", "a passed carry ignored, mixed with the learned one, or cut off from the gradient", _whole, passed=True
    ),
    _sequence_check(
        "chunks", "a carry lost or detached between chunks, so that no gradient reaches the initial carry", _in_chunks
    ),
    _sequence_check("step", "one time step that differs from a sequence of them, or has parameters of its own", _by_step),
    _sequence_check(
        "lengths", "padding that moves the carry, leaks into outputs or gradients; length 0", _with_lengths, lengths=True
    ),
    _sequence_check(
        "resets",
        "an episode that starts from zeros or from a passed carry instead of the initial carry; a reset in padding",
        _with_resets,
        passed=True,
        lengths=True,
        resets=True,
    ),
    _program_check(
        "training",
        "20 Adam steps that part: a parameter not updated, updated twice, or by another one's gradient",
        "train_step",
    ),
    _program_check(
        "classifier",
        "as training, with unequal lengths and a readout of another state than the last valid one",
        "train_step",
        classes=True,
    ),
    _program_check("style forward", "a call style that runs another model", "forward", per_style=True),
    _program_check(
        "style training",
        "a call style that differentiates something else, or loses an update or the optimiser's state",
        "train_step",
        per_style=True,
    ),
)
