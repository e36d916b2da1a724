"""Complex parameters as two real ones, for a model whose counterpart has them so."""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..errors import InputError, listed
from ..program.model import Leaf, Model, is_float, leaves_of


class _Parts(NamedTuple):
    """A complex leaf, taken apart."""

    real: Any
    imag: Any


def in_real_parts(
    reference: Model, candidate: Model, mapping: Mapping[str, Any] | None
) -> tuple[Model, Model, list[str]]:
    """Both models, with real parameters alone if they have not the same complex ones,
    and sentences about what that means.

    The real parts of a parameter `path` are then called `path/real` and `path/imag`.

    Raises:
        InputError: a mapping names such a parameter, and not its parts.
    """
    complex_leaves = [_complex_leaves(model) for model in (reference, candidate)]
    sizes = [Counter(leaf.size for leaf in leaves) for leaves in complex_leaves]
    is_possible = reference.programs is None and candidate.programs is None
    if sizes[0] == sizes[1] or not is_possible:
        return reference, candidate, []

    paths = {leaf.path for leaves in complex_leaves for leaf in leaves}
    for path in sorted(paths & _named_in(mapping or {})):
        raise InputError(
            f"the mapping names {path!r}, which has complex numbers, and the other "
            f"model has real ones in their place: name its parts, {path + '/real'!r} "
            f"and {path + '/imag'!r}."
        )
    remarks = []
    for model, leaves in zip((reference, candidate), complex_leaves, strict=True):
        if leaves:
            remarks.append(
                f"{model.name} has complex numbers in "
                f"{listed(leaf.path for leaf in leaves)}. Their real and imaginary "
                "parts are compared as parameters of their own. Adam, and other "
                "optimizers that look at the size of a gradient, train a complex "
                "parameter otherwise than two real ones."
            )
    return _apart(reference), _apart(candidate), remarks


def together(model: Model, values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The parameters of a model as it was given, of the values of their real parts."""
    rest = iter(values)
    leaves = []
    for leaf in filter(is_float, jax.tree.leaves(model.params)):
        value = next(rest)
        if _is_complex(leaf):
            value = value + 1j * next(rest)
        leaves.append(value)
    return leaves


def _complex_leaves(model: Model) -> list[Leaf]:
    leaves, _, _ = leaves_of(model.params)
    return [leaf for leaf in leaves if leaf.is_complex]


def _named_in(mapping: Mapping[str, Any]) -> set[str]:
    """The paths that a mapping names, of both models."""
    paths: set[str] = set(mapping)
    for target in mapping.values():
        sources = target[0] if isinstance(target, tuple) else target
        paths.update([sources] if isinstance(sources, str) else sources)
    return paths


def _is_complex(leaf: Any) -> bool:
    return is_float(leaf) and jnp.issubdtype(leaf.dtype, jnp.complexfloating)


def _apart(model: Model) -> Model:
    """A model whose parameters are the real and imaginary parts of another's."""
    whole_function = model.function
    apart = copy.copy(model)
    apart.params = _taken_apart(model.params)
    make = model.make
    if make is not None:
        apart.make = lambda key: _taken_apart(make(key))

    def function(params: Any, *others: Any, **keywords: Any) -> Any:
        return whole_function(_put_together(params), *others, **keywords)

    apart.function = function
    return apart


def _taken_apart(params: Any) -> Any:
    def parts(leaf: Any) -> Any:
        return _Parts(leaf.real, leaf.imag) if _is_complex(leaf) else leaf

    return jax.tree.map(parts, params)


def _put_together(params: Any) -> Any:
    def is_parts(node: Any) -> bool:
        return isinstance(node, _Parts)

    def whole(node: Any) -> Any:
        return jax.lax.complex(node.real, node.imag) if is_parts(node) else node

    return jax.tree.map(whole, params, is_leaf=is_parts)
