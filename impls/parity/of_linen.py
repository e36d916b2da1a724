"""A module of Flax linen, taken apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax.core import meta, unfreeze
from flax.linen import Module

from ...common.errors import InputError
from ...common.program.model import TRAIN
from .parts import Parts


def take_apart(
    module: Module,
    variables: Any,
    *,
    method: Any,
    rngs: Any,
    mutable: Sequence[str] | None,
) -> Parts:
    """The arguments are those of `trigru.parity.Model.linen`."""
    variables = _plain(variables)
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise InputError(
            "variables have no collection 'params': expected what module.init(key, "
            "inputs) returns."
        )
    state = {name: value for name, value in variables.items() if name != "params"}

    def changing(state: Any, mode: str) -> list[str]:
        """The collections that change in a call."""
        if mutable is not None:
            return list(mutable)
        return list(state) if mode == TRAIN else []

    def call(
        params: Any, state: Any, inputs: Any, mode: str, keywords: Any
    ) -> tuple[Any, Any]:
        collections = changing(state, mode)
        result = module.apply(
            {"params": params, **state},
            *inputs,
            method=method,
            rngs=rngs,
            mutable=collections or False,
            **keywords,
        )
        if not collections:
            return result, state
        outputs, changed = result
        changed = _plain(changed)
        new_state = {name: changed.get(name, value) for name, value in state.items()}
        return outputs, new_state

    return Parts(
        "linen",
        variables["params"],
        state,
        call,
        params_of=lambda new: _plain(new)["params"],
        whole=lambda params, state: {"params": params, **state},
    )


def _plain(variables: Any) -> Any:
    """Variables as dicts of arrays, without the boxes of partitioned ones."""
    return meta.unbox(unfreeze(variables))
