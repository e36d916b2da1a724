"""The protocol of a port, by which the harness drives a framework, and of its call styles.

A port's *model* is whatever its framework calls one, with a single condition: it is a JAX pytree whose
leaves are the parameters, so that JAX's own transforms can be applied to it. To write a port, copy the
neighbour that is nearest to your framework (`impls/pure.py` is the shortest).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from ..config import GRUConfig
from ..errors import InputError, UnknownNameError, listed
from ..gru.kernels import KERNELS
from ..parameters.layouts import Layout, flatten
from ..parameters.record import ClassifierParams, GRUParams, check_params
from .task import PHASES, Task

Params = GRUParams | ClassifierParams


@runtime_checkable
class Port(Protocol):
    """A GRU with a learnable initial state, in one framework.

    A port need not inherit it. One that does takes what its models do as NNX's: they are called as they are, and its
    `layout`, a `trigru.common.parameters.layouts.Layout`, says where `dump` finds their arrays.

    Args:
        name: on the command line.
        title: in tables.
        packages: the distributions whose versions can change its results.
        call_styles: the ways to cross the jit boundary. The first one of a phase is the one that the documentation
            leads with.
        kernels: that it offers: "stock" is the framework's own GRUCell, "fused" `trigru.common.gru.fused`.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    kernels: tuple[str, ...] = KERNELS
    call_styles: "tuple[CallStyle, ...]"

    def make(self, config: GRUConfig, key: jax.Array) -> Any:
        """A model with freshly drawn parameters: a GRU, or a classifier when config.classes is set.

        It may be traced, so that Python can neither branch on a drawn value nor make a NumPy array of it.
        """

    def load(self, config: GRUConfig, params: Params) -> Any:
        """A model with the given parameters, bit for bit."""

    def dump(self, tree: Any) -> Params:
        """Canonical parameters of a model, or of a gradient or update with a model's structure."""
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
        """Run the GRU over x (*batch, T, D); returns carry (*batch, H) and outputs (*batch, T, H).

        With time_major, x, resets and outputs are (T, *batch, ...).
        """
        masks: Any = {"lengths": lengths, "resets": resets}
        return model(x, carry, **masks, reverse=reverse, time_major=time_major)

    def step(self, model: Any, x: Any, carry: Any = None, *, reset: Any = None) -> tuple[Any, Any]:
        """Run one time step on x (*batch, D); returns carry and output, both (*batch, H).

        Where reset (*batch) is true, the state becomes the initial carry before the step.
        """
        return model.step(x, carry, reset=reset)

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """The learned initial carry, (*batch_shape, H): passed back as the carry, it is what no carry means."""
        return model.get_initial_carry(batch_shape)

    def classify(self, model: Any, x: Any, lengths: Any = None) -> Any:
        """Logits (B, C) of a classifier for x (B, T, D)."""
        return model(x, lengths)

    def value_and_grad(
        self, function: Callable[..., Any], *, has_aux: bool = False
    ) -> Callable[..., tuple[Any, tuple[Any, ...]]]:
        """Differentiate `function(model, *arrays) -> scalar` by the framework's own means; by default, JAX's.

        The result returns (value, (model gradient, *array gradients)); `dump` takes the first. With has_aux, the
        function returns (scalar, anything), and value is that pair.
        """
        return differentiated(function, jax.value_and_grad, has_aux=has_aux)


#: What a call style is, whatever its port calls it. Frameworks are compared in the same one.
#: documented: what the framework's documentation leads with; it is the first style of the port that has the phase.
#: functional: the parameters are one pytree, which goes in and out of `jax.jit`.
#: leaves: the same, as a list of the arrays.
#: donated: functional, and the old parameters and optimiser state are given up to the new ones.
DOCUMENTED, FUNCTIONAL, LEAVES, DONATED = LABELS = ("documented", "functional", "leaves", "donated")


@dataclass(frozen=True)
class CallStyle:
    """A way to take a model across the jit boundary.

    Args:
        name: as in benchmark ids; stable.
        summary: the code that a user would write, in a line.
        build: (port, model, task) -> Program.
        missing: None where the installed versions have the style, else why they don't.
        labels: of LABELS; "documented" is told by the place among the port's styles. Raises an UnknownNameError at
            others.
        phases: of PHASES, those that it has.
        source: address of the documentation that leads with it; "" where none does.
        caution: what its users have to know that those of the documented style need not; said where it is recommended.
        keeps_state: whether what a call changes in the model stays changed, as in the documented style, for less time.
    """

    name: str
    summary: str
    build: "Callable[[Port, Any, Task], Program]"
    missing: Callable[[], str | None] = lambda: None
    labels: tuple[str, ...] = ()
    phases: tuple[str, ...] = PHASES
    source: str = ""
    caution: str = ""
    keeps_state: bool = False

    def __post_init__(self):
        for label in self.labels:
            if label not in LABELS:
                raise UnknownNameError(f"label of call style {self.name}", label, list(LABELS))


@dataclass
class Program:
    """A task, jitted in one call style, holding its model (and optimiser state) from call to call.

    Args:
        call: takes `Batch.arguments(phase)`; returns the prediction, loss and gradient, or the loss of a train step.
        params: canonical record of the parameters as they stand.
        lower: the program as handed to XLA for the same arguments as `call`, before optimisation; None where no XLA
            program can be had.
        leaves: arrays that cross the jit boundary inwards for the model and its optimiser state.
        read: canonical record of the gradient that `call` returned.
        put: an array of the batch, as `call` takes it, on the device.
        wait: until what `call` returned is computed.
        device, backend: that it runs on, where that is not JAX's default device.
    """

    call: Callable[..., Any]
    params: Callable[[], Params]
    lower: Callable[..., Any] | None
    leaves: int
    read: Callable[[Any], Params]
    put: Callable[[Any], Any] = jax.device_put
    wait: Callable[[Any], Any] = jax.block_until_ready
    device: str | None = None
    backend: str | None = None


def check_port(port: Any) -> None:
    """Raise InputError unless an object has all that a port needs.

    >>> check_port(object())
    Traceback (most recent call last):
    trigru.common.errors.InputError: port object lacks name, title, packages, kernels, call_styles, make, load, dump,
    apply, step, initial_carry, classify and value_and_grad, which trigru.common.Port needs.
    """
    needed = dict.fromkeys([*Port.__annotations__, *vars(Port)])
    missing = [name for name in needed if not name.startswith("_") and not hasattr(port, name)]
    if missing:
        called = getattr(port, "name", type(port).__name__)
        raise InputError(f"port {called} lacks {listed(missing)}, which trigru.common.Port needs.")


def check_config(port: Port, config: GRUConfig) -> None:
    """Raise InputError unless a port can build this configuration, here and in the dtype that it asks for."""
    if config.kernel not in port.kernels:
        raise InputError(f"{port.name} has no kernel {config.kernel!r}. It has: {', '.join(port.kernels)}.")
    if config.param_dtype == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError("float64 parameters would be rounded to float32: set jax_enable_x64, or use float32.")


def differentiated(
    function: Callable[..., Any], value_and_grad: Callable[..., Any], *, has_aux: bool
) -> Callable[..., Any]:
    """A function of a model and arrays that gives the value of another, and its gradients by all of them.

    Args:
        function: of a model and arrays.
        value_and_grad: a framework's own, which is called as JAX's.
        has_aux: as of `jax.value_and_grad`.
    """

    def differentiate(model: Any, *arrays: Any) -> Any:
        argnums = tuple(range(1 + len(arrays)))
        return value_and_grad(function, argnums=argnums, has_aux=has_aux)(model, *arrays)

    return differentiate


def own_array(array: Any) -> jax.Array:
    """An array of JAX's that does not look into the memory of NumPy's, as those of older versions of JAX may.

    `jnp.asarray` of NumPy's would compile a program for each shape.
    """
    return jax.device_put(np.array(array)) if isinstance(array, np.ndarray) else jnp.asarray(array)


def check_load(port: Port, config: GRUConfig, params: Params) -> None:
    """Raise InputError unless a port can load these parameters without changing a bit."""
    check_config(port, config)
    check_params(params, config)


class WithKernel:
    """A port whose every model has one kernel, whatever the configuration says.

    Raises:
        InputError: it offers no such kernel.
    """

    def __init__(self, port: Port, kernel: str):
        check_config(port, GRUConfig(1, 1, kernel=kernel))
        self._port, self.kernel = port._port if isinstance(port, WithKernel) else port, kernel
        self.name, self.title, self.packages, self.kernels = port.name, port.title, port.packages, port.kernels
        self.call_styles, self.model_class = port.call_styles, getattr(port, "model_class", None)
        self.dump, self.apply, self.step, self.classify = port.dump, port.apply, port.step, port.classify
        self.initial_carry, self.value_and_grad = port.initial_carry, port.value_and_grad

    def make(self, config: GRUConfig, key: jax.Array) -> Any:
        """Like the port, with this kernel."""
        return self._port.make(replace(config, kernel=self.kernel), key)

    def load(self, config: GRUConfig, params: Params) -> Any:
        """Like the port, with this kernel."""
        return self._port.load(replace(config, kernel=self.kernel), params)
