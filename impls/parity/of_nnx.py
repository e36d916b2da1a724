"""A module of Flax NNX, taken apart."""

from typing import Any

import jax
from flax import nnx

from ...common.program.model import CALL, EVAL, TRAIN
from .parts import Parts

#: What a module has that is switched by `module.train()` and `module.eval()`.
FLAGS = ("deterministic", "use_running_average")


def take_apart(module: nnx.Module, *, method: str) -> Parts:
    """The arguments are those of `trigru.parity.Model.nnx`."""
    _, params, _, state = _split(module)
    graphs = {}
    random_states = {}
    for mode in (EVAL, TRAIN, CALL):
        copy = nnx.merge(*nnx.split(module))
        if mode == EVAL:
            copy.eval()
        elif mode == TRAIN:
            copy.train()
        graphs[mode], _, random_states[mode], _ = _split(copy)

    def call(
        params: Any, state: Any, inputs: Any, mode: str, keywords: Any
    ) -> tuple[Any, Any]:
        # A copy, whose counters the call moves on.
        random_state = jax.tree.map(lambda a: a, random_states[mode])
        copy = nnx.merge(graphs[mode], params, random_state, state)
        outputs = getattr(copy, method)(*inputs, **keywords)
        _, _, _, new_state = _split(copy)
        return outputs, new_state

    def whole(params: Any, state: Any) -> Any:
        merge = getattr(nnx, "merge_state", None) or nnx.State.merge
        return nnx.to_pure_dict(merge(params, state))

    return Parts(
        "nnx",
        params,
        state,
        call,
        params_of=lambda new: nnx.split(new, nnx.Param, ...)[1],
        whole=whole,
        has_modes=any(_has_flag(part) for _, part in nnx.iter_graph(module)),
    )


def _split(module: nnx.Module) -> tuple[Any, Any, Any, Any]:
    """The graph of a module, its parameters, its random state, and its other state."""
    graph, params, random_state, state = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return graph, params, random_state, state


def _has_flag(part: Any) -> bool:
    return any(hasattr(part, flag) for flag in FLAGS)
