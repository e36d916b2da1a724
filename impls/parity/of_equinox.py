"""A module of Equinox, taken apart."""

from functools import partial
from typing import Any

import equinox as eqx
import jax

from ...common.program.model import CALL, EVAL, is_float, path_of
from .parts import Parts

NOT_BATCHED = (
    "If the Equinox module takes one example, give batched=True, which maps it over a "
    "batch."
)


def take_apart(
    model: Any, *, state: Any, batched: bool, method: str, key: Any, axis_name: str
) -> Parts:
    """The arguments are those of `trigru.parity.Model.equinox`."""
    has_state = state is not None
    params, static = eqx.partition(model, eqx.is_inexact_array)
    # With counters, which a call moves on.
    state_arrays, static_state = eqx.partition(state, eqx.is_array)

    def call(
        params: Any, state_arrays: Any, inputs: Any, mode: str, keywords: Any
    ) -> tuple[Any, Any]:
        module = eqx.combine(params, static)
        if mode != CALL:
            module = eqx.nn.inference_mode(module, mode == EVAL)

        def run(state: Any, key: Any, *inputs: Any) -> Any:
            keys = {} if key is None else {"key": key}
            arguments = (*inputs, state) if has_state else inputs
            return getattr(module, method)(*arguments, **keys, **keywords)

        keys = key
        if batched:
            run = _over_batch(run, has_state, key is not None, len(inputs), axis_name)
            if key is not None:
                examples = jax.tree.leaves(inputs)[0].shape[0]
                keys = jax.random.split(key, examples)
        result = run(eqx.combine(state_arrays, static_state), keys, *inputs)
        if not has_state:
            return result, state_arrays
        outputs, new_state = result
        return outputs, eqx.filter(new_state, eqx.is_array)

    def whole(params: Any, state_arrays: Any) -> Any:
        module = eqx.combine(params, static)
        if not has_state:
            return module
        return module, eqx.combine(state_arrays, static_state)

    is_flagged = partial(_has, "inference")
    parts = jax.tree.leaves(model, is_leaf=is_flagged)
    return Parts(
        "equinox",
        params,
        state_arrays,
        call,
        params_of=partial(eqx.filter, filter_spec=eqx.is_inexact_array),
        whole=whole,
        has_modes=any(map(is_flagged, parts)),
        state_paths=_state_paths(model, state) if has_state else None,
        hint="" if batched else NOT_BATCHED,
    )


def _over_batch(
    run: Any, has_state: bool, has_key: bool, inputs: int, axis_name: str
) -> Any:
    """A call of (state, key, *inputs), mapped over a batch.

    The first axis of keys and inputs is mapped; a state is shared.
    """
    key_axis = 0 if has_key else None
    out_axes = (0, None) if has_state else 0
    return jax.vmap(run, (None, key_axis, *[0] * inputs), out_axes, axis_name=axis_name)


def _has(name: str, part: Any) -> bool:
    return hasattr(part, name)


def _state_paths(model: Any, state: Any) -> list[str] | None:
    """The paths of the leaves of a state.

    A leaf has the path of the index in the model that it belongs to. Returns None for a
    state of another class, whose pytree tells the paths.
    """
    if not isinstance(state, eqx.nn.State):
        return None
    flatten = jax.tree_util.tree_flatten_with_path
    paths = {}
    for keys, part in flatten(model, is_leaf=_is_index)[0]:
        if _is_index(part):
            for inner_keys, leaf in flatten(state.get(part))[0]:
                paths[id(leaf)] = path_of((*keys, *inner_keys))

    state_paths = []
    for keys, leaf in flatten(state)[0]:
        if is_float(leaf):
            state_paths.append(paths.get(id(leaf)) or path_of(keys))
    return state_paths


def _is_index(part: Any) -> bool:
    return isinstance(part, eqx.nn.StateIndex)
