"""The protocol of a port, by which all else uses a framework, and of its call styles.

A port's *model* is whatever its framework calls one. There is one condition: it is a
JAX pytree whose leaves are the parameters, so that JAX's own transforms can be applied
to it. To write a port, copy the one that is nearest to your framework; `impls/pure.py`
is the shortest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from ..config import GRUConfig
from ..errors import InputError, UnknownNameError, listed
from ..gru.kernels import KERNELS
from ..parameters.layouts import Layout, flatten
from ..parameters.record import GRUParams, check_params
from .names import LABELS, PHASES
from .task import Task


@runtime_checkable
class Port(Protocol):
    """A GRU with a learnable initial state, in one framework.

    A port need not inherit this class. One that does inherits methods for models like
    those of NNX: a model is called as it is, has the methods `step` and
    `get_initial_carry`, and the port's `layout`, a
    `trigru.common.parameters.layouts.Layout`, says where `dump` finds its arrays.

    Args:
        name: on the command line.
        title: in tables.
        packages: the distributions whose versions can change its results.
        call_styles: the ways to cross the jit boundary. The first one of a phase is the
            one that the documentation leads with.
        kernels: that it offers: "stock" is a scan of the model's cell, "fused"
            `trigru.common.gru.fused`.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    kernels: tuple[str, ...] = KERNELS
    call_styles: "tuple[CallStyle, ...]"

    def make(self, config: GRUConfig, key: jax.Array) -> Any:
        """A model with freshly drawn parameters.

        It may be traced, so that Python can neither branch on a drawn value nor make a
        NumPy array of it.
        """

    def load(self, config: GRUConfig, params: GRUParams) -> Any:
        """A model with the given parameters, bit for bit.

        Args:
            config: with the sizes D and H, and the dtype of the parameters;
                `carry_init` is not called.
            params: canonical: weight_ih (3H, D), weight_hh (3H, H), bias (3H,), bias_n
                (H,), initial_carry (H,).

        Raises:
            InputError: the parameters have another kind, shape or dtype than the
                configuration.
        """

    def dump(self, tree: Any) -> GRUParams:
        """Canonical parameters of a model.

        A gradient or an update has the structure of a model, and is dumped alike.

        Returns:
            NumPy arrays with the shapes that `load` takes, in the dtypes of the tree.
        """
        layout: Layout = self.layout  # pyright: ignore[reportAttributeAccessIssue]
        return layout.record(flatten(tree))

    def apply(
        self,
        model: Any,
        x: Any,
        carry: Any = None,
        *,
        lengths: Any = None,
        resets: Any = None,
        reverse: bool = False,
        time_major: bool = False,
    ) -> tuple[Any, Any]:
        """Run the GRU over x (*batch, T, D).

        Returns the carry (*batch, H) and the outputs (*batch, T, H). With time_major,
        x, resets and outputs are (T, *batch, ...).
        """
        return model(
            x,
            carry,
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            time_major=time_major,
        )

    def step(
        self, model: Any, x: Any, carry: Any = None, *, reset: Any = None
    ) -> tuple[Any, Any]:
        """Run one time step on x (*batch, D).

        Returns the carry and the output, both (*batch, H). Where reset (*batch) is
        true, the state becomes the initial carry before the step.
        """
        return model.step(x, carry, reset=reset)

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The learned initial carry, (*batch_shape, H).

        To pass it as the carry gives the same as to pass none.
        """
        return model.get_initial_carry(batch_shape)

    def value_and_grad(
        self, function: Callable[..., Any], *, has_aux: bool = False
    ) -> Callable[..., tuple[Any, tuple[Any, ...]]]:
        """Differentiate `function(model, *arrays) -> scalar`.

        The result returns (value, (model gradient, *array gradients)); `dump` takes the
        model gradient. With has_aux, the function returns (scalar, anything), and value
        is that pair. A port overrides this method if JAX cannot differentiate the
        modules of its framework.
        """

        def differentiated(model: Any, *arrays: Any) -> tuple[Any, tuple[Any, ...]]:
            argnums = tuple(range(1 + len(arrays)))
            gradient = jax.value_and_grad(function, argnums, has_aux)
            return gradient(model, *arrays)

        return differentiated


#: What an object needs to be a port.
_NEEDED = (
    "name",
    "title",
    "packages",
    "kernels",
    "call_styles",
    "make",
    "load",
    "dump",
    "apply",
    "step",
    "initial_carry",
    "value_and_grad",
)


def not_missing() -> None:
    """A call style that every supported version has."""


@dataclass(frozen=True)
class CallStyle:
    """A way to take a model across the jit boundary.

    Args:
        name: as in benchmark ids; stable.
        code: what a user would write, a statement in each line. `f(model, x)` is a
            function of theirs that calls the model.
        build: (port, model, task) -> Program.
        train_code: the same for a train step, of which `train_step` is a function of
            theirs; "" where `code` has it.
        missing: None where the installed versions have the style, else why they don't.
        labels: of LABELS; "documented" follows from the place among the port's styles.
        phases: of PHASES, those that it has.
        source: address of documentation that shows it; "" for none.
        caution: printed where the style is recommended: how it differs from the
            documented one for its users.
        keeps_updates: whether it replaces the documented style for less time, but for
            its caution: what a call changes in the model stays changed, or is returned.
    """

    name: str
    code: str
    build: "Callable[[Port, Any, Task], Program]"
    train_code: str = ""
    missing: Callable[[], str | None] = not_missing
    labels: tuple[str, ...] = ()
    phases: tuple[str, ...] = PHASES
    source: str = ""
    caution: str = ""
    keeps_updates: bool = False

    def __post_init__(self):
        for label in self.labels:
            if label not in LABELS:
                kind = f"label of call style {self.name}"
                raise UnknownNameError(kind, label, list(LABELS))

    def code_for(self, phase: str) -> str:
        """What a user would write in a phase."""
        if phase == "train_step" and self.train_code:
            return self.train_code
        return self.code


@dataclass
class Program:
    """A task, jitted in one call style.

    It holds its model, and the state of its optimiser, from call to call.

    Args:
        call: takes `Batch.arguments(phase)`; returns the prediction, loss and gradient,
            or the loss of a train step.
        params: canonical record of the parameters as they stand.
        lower: the program as handed to XLA for the same arguments as `call`, before
            optimisation; None where no XLA program can be had.
        leaves: arrays that cross the jit boundary inwards for the model and its
            optimiser state.
        read: canonical record of the gradient that `call` returned.
        put: an array of the batch, as `call` takes it, on the device.
        wait: until what `call` returned is computed.
        device, backend: where it runs, if that is not JAX's default device.
    """

    call: Callable[..., Any]
    params: Callable[[], GRUParams]
    lower: Callable[..., Any] | None
    leaves: int
    read: Callable[[Any], GRUParams]
    put: Callable[[Any], Any] = jax.device_put
    wait: Callable[[Any], Any] = jax.block_until_ready
    device: str | None = None
    backend: str | None = None


def check_port(port: Any) -> None:
    """Raise InputError unless an object has all that a port needs."""
    missing = [name for name in _NEEDED if not hasattr(port, name)]
    if missing:
        called = getattr(port, "name", type(port).__name__)
        raise InputError(
            f"port {called} lacks {listed(missing)}, which trigru.common.Port needs."
        )


def check_config(port: Port, config: GRUConfig) -> None:
    """Raise InputError unless a port can build this configuration here.

    The port has the kernel, and JAX has the dtype of the parameters.
    """
    if config.kernel not in port.kernels:
        raise InputError(
            f"{port.name} has no kernel {config.kernel!r}. It has: "
            f"{', '.join(port.kernels)}."
        )
    if config.param_dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError(
            "float64 parameters would be rounded to float32: set jax_enable_x64, or "
            "use float32."
        )


def own_array(array: Any) -> jax.Array:
    """An array of JAX's with memory of its own.

    Older versions of JAX may share the memory of a NumPy array, so it is copied first.
    `jnp.asarray` of the copy would compile a program for each shape; `device_put` does
    not.
    """
    if isinstance(array, np.ndarray):
        return jax.device_put(np.array(array))
    return jnp.asarray(array)


def check_load(port: Port, config: GRUConfig, params: GRUParams) -> None:
    """Raise InputError unless a port can load these parameters bit for bit."""
    check_config(port, config)
    check_params(params, config)


class WithKernel(Port):
    """A port whose every model has one kernel, whatever the configuration says.

    Raises InputError if it lacks that.
    """

    def __init__(self, port: Port, kernel: str):
        check_config(port, GRUConfig(1, 1, kernel=kernel))
        self.kernel = kernel
        self._port = port._port if isinstance(port, WithKernel) else port
        self.name = port.name
        self.title = port.title
        self.packages = port.packages
        self.kernels = port.kernels
        self.call_styles = port.call_styles
        self.model_class = class_of(port)

    def make(self, config: GRUConfig, key: jax.Array) -> Any:
        return self._port.make(replace(config, kernel=self.kernel), key)

    def load(self, config: GRUConfig, params: GRUParams) -> Any:
        return self._port.load(replace(config, kernel=self.kernel), params)

    def dump(self, tree: Any) -> GRUParams:
        return self._port.dump(tree)

    def apply(
        self, model: Any, x: Any, carry: Any = None, **arguments: Any
    ) -> tuple[Any, Any]:
        return self._port.apply(model, x, carry, **arguments)

    def step(
        self, model: Any, x: Any, carry: Any = None, *, reset: Any = None
    ) -> tuple[Any, Any]:
        return self._port.step(model, x, carry, reset=reset)

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        return self._port.initial_carry(model, batch_shape)

    def value_and_grad(
        self, function: Callable[..., Any], *, has_aux: bool = False
    ) -> Callable[..., tuple[Any, tuple[Any, ...]]]:
        return self._port.value_and_grad(function, has_aux=has_aux)


@dataclass(frozen=True)
class ModelClass:
    """How the class of a port is used, as data for the check `class`.

    With it, the check makes models as programs of the framework do. A port lists it as
    `model_class`, and may leave that out: `Port` does not need it.

    Args:
        construct: (key, input_size, hidden_size, **options) -> a model of the port.
            Options are the class's: carry_init, dtype, param_dtype, unroll, remat,
            kernel, and initializers.
        initializers: options, each an initializer, by the arrays of the canonical
            record that they draw.
        gates_apart: whether these are called for each gate, or for the fused matrices
            (D, 3H) and (H, 3H).
        assign: (model, other) -> None: gives a model the parameters of another one in
            place; None where models cannot be changed.
    """

    construct: Callable[..., Any]
    initializers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates_apart: bool = False
    assign: Callable[[Any, Any], None] | None = None


def class_of(port: object) -> ModelClass | None:
    """The class that a port lists, if it lists one."""
    return getattr(port, "model_class", None)
