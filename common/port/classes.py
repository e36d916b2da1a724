"""A port's own class, described as data, so that the check `class` uses it as programs of its framework do.

A port lists its class as `model_class`, which it may leave out: `Port` does not need it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax

#: The arguments of a call beside x, by the names that the classes share.
ARGUMENTS = ("carry", "lengths", "resets", "reverse", "time_major")


@dataclass(frozen=True)
class Use:
    """A way in which programs of a framework make a model, or call it.

    Args:
        name: as failures print it.
        make: (key, input_size, hidden_size, x, **options) -> a pytree, which is called. `x` is the example that a
            framework may need; options are those of the class. None for the class's `construct`.
        call: (made, x, **arguments) -> carry and outputs, as of the port's `apply`.
        model: (made) -> the port's model with its parameters.
        takes: of ARGUMENTS.
        batched: False where a call takes one example.
        is_drawn: the call draws the parameters, by the key 0, as `make` does. Others get random parameters.
        draws_alike: whether it draws what the port's class draws by the same key.
        starts_from: the number that fills the carry from which it starts if none is passed; None for the learned one.
        refuses: whether the class itself sees the arguments, and refuses bad ones.
    """

    name: str
    make: Any = None
    call: Callable[..., Any] = lambda made, x, **arguments: made(x, **arguments)
    model: Callable[[Any], Any] = lambda made: made
    takes: tuple[str, ...] = ARGUMENTS
    batched: bool = True
    is_drawn: bool = False
    draws_alike: bool = False
    starts_from: float | None = None
    refuses: bool = True


@dataclass(frozen=True)
class ModelClass:
    """The class of a port.

    Args:
        construct: (key, input_size, hidden_size, x=None, **options) -> a model of the port. Options are the class's:
            carry_init, dtype, param_dtype, unroll, remat, kernel, and initializers.
        initializers: options, each an initializer, by the arrays of the canonical record that they draw.
        gates_apart: whether these are called for each gate, or for the fused matrices (D, 3H) and (H, 3H).
        uses: the ways of use.
        assign: (model, other) -> None: gives a model the parameters of another one in place; None where models cannot
            be changed.
    """

    construct: Callable[..., Any]
    initializers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates_apart: bool = False
    uses: tuple[Use, ...] = ()
    assign: Callable[[Any, Any], None] | None = None


def ensemble(name: str, construct: Any, vmap: Any, call: Any = Use.call, takes: tuple[str, ...] = ARGUMENTS) -> Use:
    """Two models that a framework's `vmap` makes as one, by keys of their own, and calls: the second is compared."""

    def make(key: Any, *sizes: Any, **options: Any) -> Any:
        return vmap(lambda key: construct(key, *sizes, **options))(jax.random.split(key, 2))

    def call_both(models: Any, x: Any, **arguments: Any) -> Any:
        return second(vmap(lambda model: call(model, x, **arguments))(models))

    return Use(f"an ensemble by {name}", make, call_both, second, takes)


def second(tree: Any) -> Any:
    """The second of an ensemble's models or results."""
    return jax.tree.map(lambda a: a[1], tree)


def class_of(port: object) -> ModelClass | None:
    """The class that a port lists, if it lists one."""
    return getattr(port, "model_class", None)
