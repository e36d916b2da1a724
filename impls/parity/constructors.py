"""Models of each framework, as parameters and a function, and their files. A framework is imported when it is used."""

import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from ...common.errors import InputError, listed
from ...common.files import write_whole
from ...common.parity.report import Comparison
from ...common.program import model as base
from ...common.program.model import (
    CALL,
    EVAL,
    TRAIN,
    in_dtypes_of,
    is_float,
    leaves_of,
    path_of,
)

__all__ = ["Model"]

#: The frameworks whose models a file may hold, by its suffix.
FORMATS = {
    ".safetensors": ("", "linen", "nnx", "equinox", "torch"),
    ".msgpack": ("linen", "nnx"),
    ".eqx": ("equinox",),
}


class Options(TypedDict, total=False):
    """What all constructors take, as `Model` does; `train` and `eval` are keywords of the call in each mode."""

    name: str
    train: Mapping[str, Any] | None
    eval: Mapping[str, Any] | None
    make: Callable[..., Any] | None
    inputs: Callable[..., Any] | None
    outputs: Callable[[Any], Any] | None
    optimizer: Any


class Model(base.Model):  # noqa: D101 (the docstring is that of its base)
    __doc__ = base.Model.__doc__

    @classmethod
    def linen(
        cls,
        module: Any,
        variables: Any,
        *,
        method: Any = None,
        rngs: Any = None,
        mutable: Sequence[str] | None = None,
        **options: Unpack[Options],
    ) -> "Model":
        """A module of Flax linen.

        Args:
            module: it.
            variables: what `module.init` returns, or trained ones: the collection `params` and others, which are state.
            method: as `module.apply` takes it.
            rngs: random keys, as `module.apply` takes them.
            mutable: the collections that change in a call; all but `params` while training, none otherwise.
            options: as `Model` takes them, such as `train={"deterministic": False}`; `make` returns variables.
        """
        from flax.core import meta, unfreeze
        from flax.linen import Module

        _expect(module, Module, "flax.linen.Module")
        variables = meta.unbox(unfreeze(variables))
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise InputError(
                "variables have no collection 'params': expected what module.init(key, inputs) returns."
            )
        state = {key: value for key, value in variables.items() if key != "params"}

        def call(
            params: Any, state: Any, inputs: Any, mode: str, keywords: Any
        ) -> tuple[Any, Any]:
            changing = (
                list(mutable)
                if mutable is not None
                else list(state)
                if mode == TRAIN
                else []
            )
            given = {"params": params, **state}
            result = module.apply(
                given,
                *inputs,
                method=method,
                rngs=rngs,
                mutable=changing or False,
                **keywords,
            )
            outputs, new = result if changing else (result, {})
            new = meta.unbox(unfreeze(new))
            return outputs, {key: new.get(key, value) for key, value in state.items()}

        def params_of(new: Any) -> Any:
            return meta.unbox(unfreeze(new))["params"]

        def whole(params: Any, state: Any) -> Any:
            return {"params": params, **state}

        return _model(
            "linen", variables["params"], state, call, params_of, whole, options
        )

    @classmethod
    def nnx(
        cls, module: Any, *, method: str = "__call__", **options: Unpack[Options]
    ) -> "Model":
        """A module of Flax NNX. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: as `Model` takes them; `make` returns a module.
        """
        from flax import nnx

        _expect(module, nnx.Module, "flax.nnx.Module")
        splits = {}
        for mode in (EVAL, TRAIN, CALL):
            copy = nnx.merge(*nnx.split(module))
            if mode != CALL:
                getattr(copy, mode)()
            splits[mode] = nnx.split(copy, nnx.Param, nnx.RngState, ...)
        _, params, _, state = splits[CALL]

        def call(
            params: Any, state: Any, inputs: Any, mode: str, keywords: Any
        ) -> tuple[Any, Any]:
            graph, _, random, _ = splits[mode]
            random = jax.tree.map(
                lambda a: a, random
            )  # whose counters the call moves on
            copy = nnx.merge(graph, params, random, state)
            result = getattr(copy, method)(*inputs, **keywords)
            return result, nnx.split(copy, nnx.Param, nnx.RngState, ...)[3]

        def whole(params: Any, state: Any) -> Any:
            merge = getattr(nnx, "merge_state", None) or nnx.State.merge
            return nnx.to_pure_dict(merge(params, state))

        flags = ("deterministic", "use_running_average")
        if any(
            hasattr(part, flag) for _, part in nnx.iter_graph(module) for flag in flags
        ):
            options["train"] = options.get("train") or {}
        return _model(
            "nnx",
            params,
            state,
            call,
            lambda new: nnx.split(new, nnx.Param, ...)[1],
            whole,
            options,
        )

    @classmethod
    def equinox(
        cls,
        model: Any,
        *,
        state: Any = None,
        batched: bool = False,
        method: str = "__call__",
        key: Any = None,
        axis_name: str = "batch",
        **options: Unpack[Options],
    ) -> "Model":
        """A module of Equinox. Where it has an `inference` flag, that is off while training and on while evaluating.

        Args:
            model: it.
            state: an `eqx.nn.State`, if the model takes and returns one.
            batched: map the model over the first axis of each input; a state is shared.
            method: the name of the method that is called.
            key: a random key, passed on as the keyword `key`; a batch gets one for each example.
            axis_name: of the batch, as batch normalization asks for it.
            options: as `Model` takes them; `make` returns a module.
        """
        import equinox as eqx

        params_of = partial(eqx.filter, filter_spec=eqx.is_inexact_array)
        params, static = eqx.partition(model, eqx.is_inexact_array)
        states, fixed_state = eqx.partition(
            state, eqx.is_array
        )  # counters, too, which a call moves on

        def call(
            params: Any, states: Any, inputs: Any, mode: str, keywords: Any
        ) -> tuple[Any, Any]:
            whole = eqx.combine(params, static)
            whole = (
                whole if mode == CALL else eqx.nn.inference_mode(whole, mode == EVAL)
            )

            def one(state: Any, key: Any, *inputs: Any) -> Any:
                more = {} if key is None else {"key": key}
                taken = inputs if state is None else (*inputs, state)
                return getattr(whole, method)(*taken, **more, **keywords)

            keys, function = key, one
            if batched:
                keys = (
                    None
                    if key is None
                    else jax.random.split(key, jax.tree.leaves(inputs)[0].shape[0])
                )
                axes = (None, None if key is None else 0, *([0] * len(inputs)))
                function = jax.vmap(
                    one, axes, 0 if state is None else (0, None), axis_name=axis_name
                )
            result = function(eqx.combine(states, fixed_state), keys, *inputs)
            return (
                (result, states)
                if state is None
                else (result[0], eqx.filter(result[1], eqx.is_array))
            )

        def whole(params: Any, states: Any) -> Any:
            module = eqx.combine(params, static)
            return (
                module if state is None else (module, eqx.combine(states, fixed_state))
            )

        parts = jax.tree.leaves(model, is_leaf=lambda part: hasattr(part, "inference"))
        if any(hasattr(part, "inference") for part in parts):
            options["train"] = options.get("train") or {}
        result = _model("equinox", params, states, call, params_of, whole, options)
        if isinstance(state, eqx.nn.State):
            result.state_paths = _state_paths(model, state, eqx)
        if not batched:
            result.hint = "If the Equinox module takes one example, give batched=True, which maps it over a batch."
        return result

    @classmethod
    def torch(
        cls, module: Any, *, method: str = "forward", **options: Unpack[Options]
    ) -> "Model":
        """A module of PyTorch. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: as `Model` takes them, but no `optimizer`; `inputs` and `outputs` get tensors; `make` is a function
                without arguments that returns a new module, with PyTorch's generator seeded.
        """
        import torch  # pyright: ignore[reportMissingImports]

        _expect(module, torch.nn.Module, "torch.nn.Module")
        if options.get("optimizer") is not None:
            raise InputError(
                "Model.torch takes no optimizer: steps of optimizers of Optax are compared for JAX alone."
            )
        from .torch_program import TorchProgram

        make: Any = options.get("make")

        def seeded(key: Any) -> Any:
            """A new module, drawn from a key of JAX; PyTorch's own generator is left as it was."""
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(jax.random.bits(key)))
                return make()

        if make is not None:
            options["make"] = seeded
        options["train"] = options.get("train") or {}
        state = {
            key: _array(value)
            for key, value in module.named_buffers()
            if value.is_floating_point()
        }
        function, params = getattr(module, method), _torch_params(module)
        result = _model("torch", params, state, function, _torch_params, None, options)
        result.programs = partial(TorchProgram, module=module, method=method)
        return result


def _model(
    framework: str,
    params: Any,
    state: Any,
    call: Callable[..., tuple[Any, Any]],
    params_of: Callable[[Any], Any],
    whole: Callable[[Any, Any], Any] | None,
    options: Options,
) -> Model:
    """A model whose function also takes its inputs as a tuple, the mode, and the keywords of the mode."""
    if (make := options.get("make")) is not None:
        options["make"] = lambda key: params_of(make(key))
    named: Any = {"name": framework} | options
    model = Model(params, call, state=state, **named)
    model.framework, model.whole, model.takes_mode = framework, whole, True
    return model


def _state_paths(model: Any, state: Any, eqx: Any) -> list[str]:
    """The paths of the leaves of a state, by those of the indices in the model that they belong to."""
    paths, index = {}, eqx.nn.StateIndex
    for keys, part in jax.tree_util.tree_flatten_with_path(
        model, is_leaf=lambda part: isinstance(part, index)
    )[0]:
        if isinstance(part, index):
            for inside, leaf in jax.tree_util.tree_flatten_with_path(state.get(part))[
                0
            ]:
                paths[id(leaf)] = path_of((*keys, *inside))
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return [
        paths.get(id(leaf)) or path_of(keys) for keys, leaf in leaves if is_float(leaf)
    ]


def _expect(module: Any, kind: type, name: str) -> None:
    if not isinstance(module, kind):
        raise InputError(
            f"expected a {name}, got an object of type {type(module).__name__}."
        )


def _torch_params(module: Any) -> dict[str, np.ndarray]:
    return {key: _array(value) for key, value in module.named_parameters()}


def _array(tensor: Any) -> np.ndarray:
    """The numbers of a tensor; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def save(path: Path, model: base.Model, comparison: Comparison) -> None:
    """Write the candidate of a comparison with the reference's values, in its own dtypes, whole or not at all.

    A safetensors file has each array under its path. A msgpack file is read by `flax.serialization`: it has the
    variables of a linen module, or `nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngState)))` of an NNX module. An
    eqx file is read by `equinox.tree_deserialise_leaves`: it has the model, or the pair of the model and its state.

    Raises:
        InputError: no format of the model has this suffix, or leaves of the candidate have no partner.
        OSError: it cannot be written.
    """
    check_suffix(path, model)
    if missing := comparison.parameters.only_candidate:
        raise InputError(
            f"{path} is not written: the reference has no values for {listed(missing)}. A mapping may tell which they "
            "are."
        )
    params, state = (
        leaves_of(tree)[2](in_dtypes_of(tree, values))
        for tree, values in (
            (model.params, comparison.converted),
            (model.state, comparison.converted_state),
        )
    )
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        from safetensors.numpy import save as content_of

        arrays: dict[str, np.ndarray] = {}
        for tree in (params, state):
            for leaf, value in zip(
                leaves_of(tree)[0], filter(is_float, jax.tree.leaves(tree)), strict=True
            ):
                arrays[f"state/{leaf.path}" if leaf.path in arrays else leaf.path] = (
                    np.ascontiguousarray(value)
                )
        content = content_of(arrays, metadata={"format": "np"})
    elif suffix == ".msgpack":
        from flax.serialization import to_bytes

        content = to_bytes(model.whole(params, state))
    else:
        import equinox as eqx

        buffer = io.BytesIO()
        params, state = jax.tree.map(
            lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a,
            (params, state),
        )
        eqx.tree_serialise_leaves(buffer, model.whole(params, state))
        content = buffer.getvalue()
    write_whole(path, content)


def check_suffix(path: Path, model: base.Model) -> None:
    """Raise an InputError if no format of the model has the suffix of a file."""
    known = [
        suffix
        for suffix, frameworks in FORMATS.items()
        if model.framework in frameworks
    ]
    if path.suffix.lower() not in known:
        raise InputError(
            f"{path}: {model.name} cannot be saved with the suffix {path.suffix!r}, expected {' or '.join(known)}."
        )
