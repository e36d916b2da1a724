"""Models of each framework, as parameters and a function. A framework is imported when its constructor is called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ...common.errors import InputError
from ...common.parity import model as base
from ...common.parity.model import CALL, EVAL, TRAIN

__all__ = ["Model"]


class Model(base.Model):
    __doc__ = base.Model.__doc__

    @classmethod
    def _made(cls, framework: str, whole: Callable[[Any, Any], Any], *args: Any) -> "Model":
        model = cls.__new__(cls)
        model.framework, model.whole = framework, whole
        model._set(*args)
        return model

    @classmethod
    def linen(
        cls,
        module: Any,
        variables: Any,
        *,
        method: Any = None,
        rngs: Any = None,
        mutable: Sequence[str] | None = None,
        train: Mapping[str, Any] | None = None,
        eval: Mapping[str, Any] | None = None,
        name: str = "linen",
        make: Callable[[Any], Any] | None = None,
        inputs: Callable[..., Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        optimizer: Any = None,
    ) -> "Model":
        """A module of Flax linen.

        Args:
            module: it.
            variables: what `module.init` returns, or trained ones: the collection `params` and others, which are state.
            method: as `module.apply` takes it.
            rngs: random keys, as `module.apply` takes them.
            mutable: the collections that change in a call; all but `params` while training, none otherwise.
            train, eval: keywords of the call while training, and while evaluating, as `{"deterministic": True}`.
            name, make, inputs, outputs, optimizer: as `Model` takes them; `make` returns variables.
        """
        from flax.core import meta, unfreeze
        from flax.linen import Module

        _expect(module, Module, "flax.linen.Module")
        variables = meta.unbox(unfreeze(variables))
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise InputError("variables have no collection 'params': expected what module.init(key, inputs) returns.")
        state = {key: value for key, value in variables.items() if key != "params"}
        keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}

        def call(params: Any, state: Any, inputs: Any, mode: str) -> tuple[Any, Any]:
            changing = list(mutable) if mutable is not None else list(state) if mode == TRAIN else []
            result = module.apply(
                {"params": params, **state},
                *inputs,
                method=method,
                rngs=rngs,
                mutable=changing or False,
                **keywords[mode],
            )
            outputs, new = result if changing else (result, {})
            new = meta.unbox(unfreeze(new))
            return outputs, {key: new.get(key, value) for key, value in state.items()}

        modes = (EVAL, TRAIN) if train is not None or eval is not None else (CALL,)
        of_key = None if make is None else lambda key: meta.unbox(unfreeze(make(key)))["params"]

        def whole(params: Any, state: Any) -> Any:
            return {"params": params, **state}

        return cls._made(
            "linen", whole, name, variables["params"], state, call, modes, of_key, inputs, outputs, optimizer
        )

    @classmethod
    def nnx(
        cls,
        module: Any,
        *,
        method: str = "__call__",
        train: Mapping[str, Any] | None = None,
        eval: Mapping[str, Any] | None = None,
        name: str = "nnx",
        make: Callable[[Any], Any] | None = None,
        inputs: Callable[..., Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        optimizer: Any = None,
    ) -> "Model":
        """A module of Flax NNX. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            train, eval: keywords of the call while training, and while evaluating.
            name, make, inputs, outputs, optimizer: as `Model` takes them; `make` returns a module.
        """
        from flax import nnx

        _expect(module, nnx.Module, "flax.nnx.Module")
        splits = {}
        for mode in (EVAL, TRAIN, CALL):
            copy = nnx.merge(*nnx.split(module))
            if mode != CALL:
                getattr(copy, mode)()
            splits[mode] = nnx.split(copy, nnx.Param, nnx.RngState, ...)
        two = train is not None or eval is not None or _has_modes(module, nnx)
        keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}
        _, params, _, state = splits[CALL]

        def call(params: Any, state: Any, inputs: Any, mode: str) -> tuple[Any, Any]:
            graph, _, random, _ = splits[mode]
            random = jax.tree.map(lambda a: a, random)  # whose counters the call moves on
            copy = nnx.merge(graph, params, random, state)
            found = getattr(copy, method)(*inputs, **keywords[mode])
            return found, nnx.split(copy, nnx.Param, nnx.RngState, ...)[3]

        def whole(params: Any, state: Any) -> Any:
            merge = getattr(nnx, "merge_state", None) or nnx.State.merge
            return nnx.to_pure_dict(merge(params, state))

        modes = (EVAL, TRAIN) if two else (CALL,)
        of_key = None if make is None else lambda key: nnx.split(make(key), nnx.Param, ...)[1]
        return cls._made("nnx", whole, name, params, state, call, modes, of_key, inputs, outputs, optimizer)

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
        train: Mapping[str, Any] | None = None,
        eval: Mapping[str, Any] | None = None,
        name: str = "equinox",
        make: Callable[[Any], Any] | None = None,
        inputs: Callable[..., Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
        optimizer: Any = None,
    ) -> "Model":
        """A module of Equinox. Where it has an `inference` flag, that is off while training and on while evaluating.

        Args:
            model: it.
            state: an `eqx.nn.State`, if the model takes and returns one.
            batched: map the model over the first axis of each input; a state is shared.
            method: the name of the method that is called.
            key: a random key, passed on as the keyword `key`; a batch gets one for each example.
            axis_name: of the batch, as batch normalization asks for it.
            train, eval: keywords of the call while training, and while evaluating.
            name, make, inputs, outputs, optimizer: as `Model` takes them; `make` returns a module.
        """
        import equinox as eqx

        params, static = eqx.partition(model, eqx.is_inexact_array)
        keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {}), CALL: {}}
        states, fixed_state = eqx.partition(state, eqx.is_inexact_array)

        def call(params: Any, states: Any, inputs: Any, mode: str) -> tuple[Any, Any]:
            whole = eqx.combine(params, static)
            whole = whole if mode == CALL else eqx.nn.inference_mode(whole, mode == EVAL)
            given = eqx.combine(states, fixed_state)

            def one(state: Any, key: Any, *inputs: Any) -> Any:
                more = {} if key is None else {"key": key}
                taken = inputs if state is None else (*inputs, state)
                return getattr(whole, method)(*taken, **more, **keywords[mode])

            keys = key
            if batched:
                size = jax.tree.leaves(inputs)[0].shape[0]
                keys = None if key is None else jax.random.split(key, size)
                axes = (None, None if key is None else 0, *([0] * len(inputs)))
                found = jax.vmap(one, in_axes=axes, out_axes=0 if state is None else (0, None), axis_name=axis_name)(
                    given, keys, *inputs
                )
            else:
                found = one(given, keys, *inputs)
            if state is None:
                return found, states
            return found[0], eqx.filter(found[1], eqx.is_inexact_array)

        two = train is not None or eval is not None or _has_inference(model, eqx)

        def saved(params: Any, states: Any) -> Any:
            whole = eqx.combine(params, static)
            return whole if state is None else (whole, eqx.combine(states, fixed_state))

        modes = (EVAL, TRAIN) if two else (CALL,)
        of_key = None if make is None else lambda key: eqx.filter(make(key), eqx.is_inexact_array)
        return cls._made("equinox", saved, name, params, states, call, modes, of_key, inputs, outputs, optimizer)

    @classmethod
    def torch(
        cls,
        module: Any,
        *,
        method: str = "forward",
        train: Mapping[str, Any] | None = None,
        eval: Mapping[str, Any] | None = None,
        name: str = "torch",
        make: Callable[[], Any] | None = None,
        inputs: Callable[..., Any] | None = None,
        outputs: Callable[[Any], Any] | None = None,
    ) -> "Model":
        """A module of PyTorch. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            train, eval: keywords of the call while training, and while evaluating.
            make: a function without arguments that returns a new module, with PyTorch's generator seeded; for draws.
            name, inputs, outputs: as `Model` takes them; `inputs` and `outputs` get tensors.
        """
        from torch.nn import Module  # pyright: ignore[reportMissingImports]

        _expect(module, Module, "torch.nn.Module")
        keywords = {TRAIN: dict(train or {}), EVAL: dict(eval or {})}
        return _TorchModel(module, method, keywords, name, make, inputs, outputs)


class _TorchModel(Model):
    def __init__(self, module: Any, method: str, keywords: Any, name: str, make: Any, inputs: Any, outputs: Any):
        params = _torch_params(module)
        state = {key: _array(value) for key, value in module.named_buffers() if value.is_floating_point()}
        of_key = None if make is None else lambda key: _torch_params(_seeded(make, key))
        self.keywords = keywords
        self._module, self._method = module, method
        self._set(name, params, state, self._refuse, (EVAL, TRAIN), of_key, inputs, outputs)

    def _refuse(self, *_: Any) -> Any:
        raise InputError(f"{self.name} is a module of PyTorch, which JAX cannot call.")

    def program(self, inputs: tuple[Any, ...], mode: str) -> Any:
        """The module in one mode, as a program that can be evaluated in float64."""
        from .torch_program import TorchProgram

        return TorchProgram(self, self._module, self._method, inputs, mode)


def _expect(module: Any, kind: type, name: str) -> None:
    if not isinstance(module, kind):
        raise InputError(f"expected a {name}, got an object of type {type(module).__name__}.")


def _torch_params(module: Any) -> dict[str, np.ndarray]:
    return {key: _array(value) for key, value in module.named_parameters()}


def _seeded(make: Callable[[], Any], key: Any) -> Any:
    """A new module of PyTorch, drawn from a key of JAX; PyTorch's own generator is left as it was."""
    import torch  # pyright: ignore[reportMissingImports]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(jax.random.bits(key)))
        return make()


def _array(tensor: Any) -> np.ndarray:
    """The numbers of a tensor; NumPy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def _has_modes(module: Any, nnx: Any) -> bool:
    return any(
        hasattr(part, flag) for _, part in nnx.iter_graph(module) for flag in ("deterministic", "use_running_average")
    )


def _has_inference(model: Any, eqx: Any) -> bool:
    parts = jax.tree.leaves(model, is_leaf=lambda part: hasattr(part, "inference"))
    return any(hasattr(part, "inference") for part in parts)
