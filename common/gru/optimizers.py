"""A learning rate of its own for the initial carry, in any framework's parameters.

Where the loss is a mean over T steps, only the first steps depend on where the sequence
started: the gradient of the initial carry shrinks like 1/T, that of a weight, which
acts at every step, far less. Hence `length` multiplies the initial carry's gradient by
T, as if its loss were the sum. It multiplies the gradient and not the update, since
optimisers that divide by the gradient's size, such as Adam, need no correction: they
see the factor only where the gradient is as small as their epsilon. Where the loss
looks at the last step alone, the gradient fades exponentially, and no rate that depends
on T alone brings it back: let the loss see the first steps.
"""

from collections.abc import Hashable
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float

from ..config import check_fields
from ..errors import InputError, brief

#: The largest factor of an update: beyond it, products would soon overflow float32.
LARGEST = 1e30


def carry_learning_rate(
    tx: optax.GradientTransformation,
    *,
    scale: float | Float[Array, ""] = 1.0,
    length: int | None = None,
    carry: optax.GradientTransformation | None = None,
    name: str = "initial_carry",
) -> optax.GradientTransformationExtraArgs:
    """Give the initial carry a transformation of its own, and other parameters `tx`.

    Parameters are told apart by path: arrays that are called `initial_carry` are
    initial carries, and what is within a module of that name is not. That works in
    linen's dict, in the state of an `nnx.Optimizer`, in an Equinox module (filtered or
    partitioned), and for any number of layers.

    Args:
        tx: any optax transformation.
        scale: by which the initial carry's updates are multiplied, its learning rate
            relative to the others'; 0 freezes it, with no optimiser state. A JAX scalar
            may be traced, so that jax.vmap can try several; its 0 keeps the state, and
            its range is checked where it has a value.
        length: T, the steps over which the loss is a mean; the initial carry's gradient
            is multiplied by it.
        carry: the transformation of the initial carry instead of `tx`: without weight
            decay, or with a schedule, say.
        name: of the array, in a model of your own.

    Returns:
        A transformation made by `optax.partition`. Each part sees its own gradients
        alone: to clip by the norm of all, chain the clipping before it.

    Raises:
        InputError: scale is negative, not finite, or neither a Python number nor a
            floating-point scalar, length is below 1, one of them is a number above
            1e30, or both scale=0 and what it would leave without effect were given; at
            `init`, no parameter is an initial carry.

    >>> adam = optax.adam(1e-3)
    >>> tx = carry_learning_rate(optax.adamw(1e-3), scale=10.0, length=48, carry=adam)
    >>> frozen = carry_learning_rate(optax.sgd(0.5), scale=0.0)
    >>> params = {"cell": jax.numpy.ones(2), "initial_carry": jax.numpy.ones(2)}
    >>> updates, _ = frozen.update(params, frozen.init(params))
    >>> {name: update.tolist() for name, update in updates.items()}
    {'cell': [-0.5, -0.5], 'initial_carry': [0.0, 0.0]}
    """
    if not _is_scale(scale):
        raise InputError(
            f"scale is {brief(repr(scale))}, expected a Python number from 0 to "
            f"{LARGEST:g}, or a floating-point JAX scalar: 1 leaves the rate alone, 0 "
            "freezes. A schedule goes into carry=, as a transformation of its own."
        )
    if length is not None:
        check_fields(length=length)
        if length > LARGEST:
            raise InputError(
                f"length is {brief(length)}, expected at most {LARGEST:g}."
            )

    is_frozen = not _is_array(scale) and scale == 0
    if is_frozen and (carry is not None or length is not None):
        raise InputError(
            "scale is 0, which freezes: carry= and length= would have no effect. Leave "
            "them out."
        )

    def label(path: tuple[Any, ...], _: Any) -> str:
        return "carry" if _ends_in(path, name) else "rest"

    def labels(params: Any) -> Any:
        tree = jax.tree_util.tree_map_with_path(label, params)
        if "carry" not in jax.tree.leaves(tree):
            raise InputError(
                f"no path of a parameter ends in {name!r}: {_listed_paths(params)}. "
                "Pass the tree with its names, not a list of its leaves, or say name=."
            )
        return tree

    if is_frozen:
        carry = optax.set_to_zero()
    else:
        carry = _scaled(tx if carry is None else carry, scale, length)
    transforms: dict[Hashable, Any] = {"carry": carry, "rest": tx}
    if hasattr(optax, "partition"):
        return optax.partition(transforms, labels)
    return vars(optax)["multi_transform"](transforms, labels)  # before Optax 0.2.5


def _scaled(
    tx: optax.GradientTransformation, scale: Any, length: int | None
) -> optax.GradientTransformation:
    """A transformation with its updates multiplied by `scale`.

    Its gradients are multiplied by `length`, if there is one.
    """

    def multiply(updates: Any, _: Any) -> Any:
        # unlike `optax.scale`, whose updates do not keep their dtype if `scale` is an
        # array
        return jax.tree.map(lambda u: u * jnp.asarray(scale, u.dtype), updates)

    chain = [tx]
    if length is not None:
        chain.insert(0, optax.scale(float(length)))
    if _is_array(scale) or scale != 1:
        chain.append(optax.stateless(multiply))
    return optax.chain(*chain)


def _is_array(scale: Any) -> bool:
    return isinstance(scale, jax.Array | np.ndarray)


def _is_scale(scale: Any) -> bool:
    """Whether this is a number in range, or a scalar that is in range or is traced."""
    if _is_array(scale):
        if scale.ndim != 0 or not jnp.issubdtype(scale.dtype, jnp.floating):
            return False
        return isinstance(scale, Tracer) or bool(0 <= scale < jnp.inf)
    if not isinstance(scale, Real) or isinstance(scale, bool):
        return False
    number: Any = scale
    return 0 <= number <= LARGEST


def _ends_in(path: tuple[Any, ...], name: str) -> bool:
    """Whether an array has this name, alone or in a box of linen's or NNX's."""
    while path and getattr(path[-1], "name", None) in ("value", "raw_value"):
        path = path[:-1]
    if not path:
        return False
    last = path[-1]
    return name in (getattr(last, "name", None), getattr(last, "key", None))


def _listed_paths(params: Any) -> str:
    """The paths of the first six parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = [jax.tree_util.keystr(path) for path, _ in leaves]
    if len(paths) > 6:
        paths = [*paths[:6], "..."]
    return ", ".join(paths)
