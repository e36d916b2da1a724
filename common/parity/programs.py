"""A model as a program: traced by JAX in float64 where it can be, and evaluated in
NumPy.
"""

import re
import traceback
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.extend.core.primitives import closed_call_p, copy_p

from ..compat import enable_x64
from ..errors import InputError, brief
from ..program import Evaluator, wide
from ..program.model import NARROW, Model, in_dtypes_of, is_float, leaves_of
from ..program.source import innermost, shown
from ..program.tape import Tape, TraceTape
from .values import Arguments, weights_of

DECIMALS = 64  # arrays of at most so many constants are read as decimals
#: constants of a narrow dtype are moved by so much of their last digit, to see what
#: their rounding does
JITTER = 0.5
#: Primitives that hand on a value without its derivative, or with a rule of its own.
STOPS = frozenset({"stop_gradient"})
RULES = frozenset({"custom_vjp_call", "custom_vjp_call_jaxpr"})
#: Primitives that draw random numbers.
RANDOM = (
    "random_bits",
    "threefry2x32",
    "rng_bit_generator",
    "rng_uniform",
    "random_gamma",
)


def program_of(model: Model, inputs: tuple[Any, ...], mode: str) -> Any:
    """A model in one mode, for inputs of these shapes, as a program that can be
    evaluated in float64.
    """
    make = model.programs or TracedProgram
    return make(model, inputs, mode)


class Result:
    """What a program returns: leaves with an axis of sets in front, or their numbers;
    gradients where there are any.
    """

    def __init__(self, program: Any, values: Sequence[Any]):
        sizes = len(program.outputs), len(program.states), len(program.params)
        self.outputs, self.state, self.of_params, self.of_inputs = _parts(
            values, *sizes
        )


def _parts(values: Sequence[Any], *sizes: int) -> list[list[Any]]:
    """Values in parts of these sizes, and the rest."""
    ends = list(accumulate(sizes))
    return [list(values[a:b]) for a, b in zip([0, *ends], [*ends, None], strict=True)]


class TracedProgram:
    """A model in one mode, for inputs of some shapes and dtypes; after a call in the
    mode `before`, if there is one.
    """

    def __init__(
        self, model: Model, inputs: tuple[Any, ...], mode: str, before: str = ""
    ):
        self.model, self.mode, self.before = model, mode, before
        self.params, self.param_values, self._to_params = leaves_of(model.params)
        self.states, self.state_values, self._to_state = leaves_of(
            model.state, model.state_paths
        )
        self._input_leaves, self._to_inputs = jax.tree.flatten(inputs)
        self._sizes = len(self.params), len(self.states), len(self._input_leaves)
        self._real = [n for n, leaf in enumerate(self._input_leaves) if is_float(leaf)]
        self.closed = self._traced(self._forward, ())
        self.outputs = list(self.closed.out_avals)[
            : len(self.closed.out_avals) - len(self.states)
        ]

    def forward(self, arguments: Arguments, jitter: int = 0) -> Result:
        """The outputs and the new state; with a jitter, narrow constants are moved
        within their rounding.
        """
        constants = _Constants(jitter)
        values = _evaluator(self.closed, constants=constants)(*arguments.all())
        self.narrow_constants = constants.narrow
        return Result(self, values)

    def gradient(self, arguments: Arguments) -> Result:
        """The outputs, and the gradients of their sum, each weighted, by parameters and
        inputs.
        """
        return Result(self, self._evaluate_gradient(*arguments.all(), *self._weights))

    def gradient_without(self, some: Sequence[Any], arguments: Arguments) -> Result:
        """As `gradient`, with the derivative of the values of some equations of the
        trace in place of their own.
        """
        backward = partial(
            self._backward, forward=jaxpr_as_fun(_without(self.closed, some))
        )
        evaluate = _evaluator(
            self._traced(backward, self.outputs), constants=_Constants()
        )
        return Result(self, evaluate(*arguments.all(), *self._weights))

    def tree(self, leaves: Sequence[np.ndarray]) -> Any:
        """The model's own pytree of parameters, of leaves with an axis of one set in
        front.
        """
        return self._to_params([jnp.asarray(a[0]) for a in leaves])

    def tape(self, arguments: Arguments) -> Tape:
        return TraceTape(self.closed, arguments.all(), _Constants())

    def gradient_tape(self, arguments: Arguments) -> Tape:
        """All values on the way to the outputs and the gradients, for one set."""
        return TraceTape(
            self.gradient_trace, [*arguments.all(), *self._weights], _Constants()
        )

    @cached_property
    def draws(self) -> bool:
        return any(name in str(self.closed) for name in RANDOM)

    @cached_property
    def gradient_trace(self) -> Any:
        """The trace of outputs, new state, and gradients by parameters and inputs."""
        return self._traced(self._backward, self.outputs)

    def run(
        self, arguments: Arguments, inputs: tuple[Any, ...], *, jit: bool
    ) -> list[Any]:
        """The outputs for the first set of parameters, as JAX computes them in the
        model's own dtypes.
        """
        params = [leaf[0] for leaf in arguments.params]
        state = [leaf[0] for leaf in arguments.state]
        function, leaves, rest = self.own(params, state, inputs)
        leaves = list(map(jnp.asarray, leaves))  # models may index them by a tracer
        if jit:
            function = jax.jit(function)
        return jax.tree.leaves(function(leaves, rest))

    def own(
        self, params: Any, state: Any, inputs: tuple[Any, ...]
    ) -> tuple[Any, list[Any], tuple[Any, Any]]:
        """The outputs in the model's own dtypes, as a function of a list of the
        parameters, and of state and inputs.
        """

        def function(leaves: list[Any], rest: tuple[Any, Any]) -> Any:
            outputs, _ = self.model(self._to_params(leaves), *rest, self.mode)
            return outputs

        leaves = in_dtypes_of(self.model.params, params)
        state = self._to_state(in_dtypes_of(self.model.state, state))
        return function, leaves, (state, inputs)

    def _forward(self, *leaves: Any) -> list[Any]:
        params, state, inputs, _ = _parts(leaves, *self._sizes)
        inputs = jax.tree.unflatten(self._to_inputs, inputs)
        new = self._to_state(state)
        if self.before:
            _, new = self.model(self._to_params(params), new, inputs, self.before)
        outputs, new = self.model(self._to_params(params), new, inputs, self.mode)
        arrays = jax.tree.leaves(outputs)
        new_state = list(filter(is_float, jax.tree.leaves(new)))
        if not arrays:
            raise InputError(f"{self.model.name} returns no array.")
        if len(new_state) != len(state):
            raise InputError(
                f"{self.model.name} returns a state of {len(new_state)} arrays, "
                f"expected {len(state)}, as it took."
            )
        return [*map(jnp.asarray, arrays), *new_state]

    def _backward(self, *leaves: Any, forward: Any = None) -> list[Any]:
        params, state, inputs, weights = _parts(leaves, *self._sizes)

        forward = forward or self._forward

        def weighted(params: Any, reals: Any) -> Any:
            given = list(inputs)
            for n, leaf in zip(self._real, reals, strict=True):
                given[n] = leaf
            results = forward(*params, *state, *given)
            outputs = results[: len(results) - len(state)]
            total = jnp.zeros(())
            for weight, output in zip(weights, outputs, strict=True):
                if is_float(output):
                    total += jnp.sum(jnp.real(weight * output))
            return total, results

        gradient = jax.grad(weighted, argnums=(0, 1), has_aux=True)
        (of_params, of_reals), results = gradient(
            params, [inputs[n] for n in self._real]
        )
        return [*results, *of_params, *of_reals]

    @cached_property
    def _weights(self) -> list[np.ndarray]:
        return weights_of(self.outputs)

    @cached_property
    def _evaluate_gradient(self) -> Evaluator:
        return _evaluator(self.gradient_trace, constants=_Constants())

    def _traced(self, function: Any, more: Sequence[Any]) -> Any:
        """The trace of a function of the model's leaves, of its inputs and of `more`,
        in float64 if it can be.
        """
        tree = self.model.params, self.model.state
        real = filter(is_float, jax.tree.leaves(tree))
        arrays = [*real, *self._input_leaves, *more]
        try:
            with enable_x64(True):
                return jax.make_jaxpr(function)(*[_spec(a, wide) for a in arrays])
        except InputError:
            raise
        except Exception:  # it may be written for float32 alone
            pass
        try:
            return jax.make_jaxpr(function)(*[_spec(a, _narrow) for a in arrays])
        except InputError:
            raise
        except Exception as error:
            raise failed(self.model, self._input_leaves, error) from error


def _spec(array: Any, dtype_of: Callable[[Any], Any]) -> jax.ShapeDtypeStruct:
    """The shape of an array, and another dtype; random keys stay."""
    dtype = array.dtype
    if not jnp.issubdtype(dtype, jax.dtypes.extended):
        dtype = dtype_of(dtype)
    return jax.ShapeDtypeStruct(array.shape, dtype)


def _narrow(dtype: Any) -> Any:
    """A dtype of at most 32 bits."""
    return NARROW.get(np.dtype(dtype).name, dtype)


_evaluator = partial(Evaluator, wide=True, draws=False)


def failed(model: Any, inputs: Sequence[Any], error: BaseException) -> InputError:
    """An error that names a model which raised another one, the arrays that it was
    given, and the user's line.
    """
    given = ", ".join(f"{a.dtype}{list(a.shape)}" for a in inputs)
    own = innermost(traceback.extract_tb(error.__traceback__))
    where = f" at {shown(own.file)}:{own.line}" if own else ""
    message = (
        f"{model.name} fails{where} with the inputs {given}: "
        f"{type(error).__name__}: {brief(error)}"
    )
    advice = model.hint
    lacking = re.search(r"missing \d+ required [\w -]*arguments?: '(\w+)'", str(error))
    if axis := re.search(r"unbound axis name: (\w+)", str(error)):
        advice = (
            "Batch normalization looks for an axis of this name: give Model.equinox "
            f"batched=True and axis_name={axis[1]!r}; make modules of linen and NNX "
            "without axis_name."
        )
    elif lacking and lacking[1] == "state":
        advice = (
            "Give the model state=, which eqx.nn.make_with_state returns beside it."
        )
    elif lacking:
        advice = (
            f"If {lacking[1]} tells training from evaluation, give the model "
            f"train={{{lacking[1]!r}: True}} and eval={{{lacking[1]!r}: False}}; if it "
            "is an input, pass a tuple of inputs."
        )
    return InputError(f"{message.rstrip('.')}. {advice}" if advice else message)


class _Constants:
    """Changes the constants of a program: a narrow one becomes the shortest decimal
    that is rounded to it.

    What is no short decimal is `narrow`, and moved within its rounding, with jitter as
    a seed; 0 moves nothing.
    """

    def __init__(self, jitter: int = 0):
        self._random = np.random.default_rng(jitter) if jitter else None
        self.narrow = False

    @np.errstate(over="ignore")
    def __call__(self, array: np.ndarray, aval: Any) -> np.ndarray:
        dtype = aval.dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            return array
        if dtype == np.float64:
            if not (array == array.astype(np.float32)).all():
                return array
            dtype = np.dtype(
                np.float32
            )  # no number of float64 has so few digits by chance
        moves = array * 1024 != np.rint(array * 1024)
        if array.size <= DECIMALS:
            decimals = [_decimal(float(a), dtype) for a in array.reshape(-1)]
            moves &= ~np.array([short for _, short in decimals]).reshape(array.shape)
            array = np.array([value for value, _ in decimals]).reshape(array.shape)
        self.narrow = self.narrow or bool(moves.any())
        if self._random is None or not moves.any():
            return array
        by = 1 + JITTER * float(jnp.finfo(dtype).eps) * self._random.uniform(
            -1, 1, array.shape
        )
        return np.where(moves, array * by, array)


def _decimal(value: float, dtype: Any) -> tuple[float, bool]:
    """The shortest decimal that is rounded to a number of a narrow dtype, and whether
    it is short: meant, then.
    """
    most = max(int(-np.log10(float(jnp.finfo(dtype).eps))) - 1, 1)
    for digits in range(1, 10) if np.isfinite(value) else ():
        decimal = float(f"{value:.{digits}g}")
        if float(np.asarray(decimal, dtype)) == value:
            return decimal, digits <= most
    return value, not np.isfinite(value)


def _without(closed: Any, targets: Sequence[Any]) -> Any:
    """A trace in which some equations have the derivative that their values have."""

    def changed(value: Any) -> Any:
        if type(value) is tuple:  # of the branches of a condition
            return tuple(map(changed, value))
        if (
            getattr(value, "jaxpr", value) is not value
        ):  # closed; from JAX 0.12 on, all are, and hold themselves
            return value.replace(jaxpr=changed(value.jaxpr))
        if hasattr(value, "eqns"):
            return value.replace(eqns=list(map(freed, value.eqns)))
        return value

    def freed(equation: Any) -> Any:
        if not any(equation is target for target in targets):
            return equation.replace(
                params={name: changed(value) for name, value in equation.params.items()}
            )
        if equation.primitive.name in STOPS:
            return equation.replace(primitive=copy_p, params={})
        inner = equation.params["call_jaxpr"]
        inner = inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ())
        return equation.replace(primitive=closed_call_p, params={"call_jaxpr": inner})

    return changed(closed)
