"""Models of each framework, as parameters and a function. A framework is imported when its constructor is called."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import jax
import numpy as np

from ...common.errors import InputError
from ...common.parity import model as base
from ...common.parity.model import CALL, EVAL, TRAIN, is_float, path_of

__all__ = ["Model"]


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
            options: `train`, `eval`: keywords of the call in each mode, as `train={"deterministic": False}`; `name`,
                `make`, `inputs`, `outputs`, `optimizer`: as `Model` takes them; `make` returns variables.
        """
        from flax.core import meta, unfreeze
        from flax.linen import Module

        _expect(module, Module, "flax.linen.Module")
        variables = meta.unbox(unfreeze(variables))
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise InputError("variables have no collection 'params': expected what module.init(key, inputs) returns.")
        state = {key: value for key, value in variables.items() if key != "params"}

        def call(params: Any, state: Any, inputs: Any, mode: str, keywords: Any) -> tuple[Any, Any]:
            changing = list(mutable) if mutable is not None else list(state) if mode == TRAIN else []
            given = {"params": params, **state}
            result = module.apply(given, *inputs, method=method, rngs=rngs, mutable=changing or False, **keywords)
            outputs, new = result if changing else (result, {})
            new = meta.unbox(unfreeze(new))
            return outputs, {key: new.get(key, value) for key, value in state.items()}

        def params_of(new: Any) -> Any:
            return meta.unbox(unfreeze(new))["params"]

        def whole(params: Any, state: Any) -> Any:
            return {"params": params, **state}

        return _OfFramework("linen", variables["params"], state, call, params_of, whole, options)

    @classmethod
    def nnx(cls, module: Any, *, method: str = "__call__", **options: Unpack[Options]) -> "Model":
        """A module of Flax NNX. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: `train`, `eval`: keywords of the call in each mode; `name`, `make`, `inputs`, `outputs`,
                `optimizer`: as `Model` takes them; `make` returns a module.
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

        def call(params: Any, state: Any, inputs: Any, mode: str, keywords: Any) -> tuple[Any, Any]:
            graph, _, random, _ = splits[mode]
            random = jax.tree.map(lambda a: a, random)  # whose counters the call moves on
            copy = nnx.merge(graph, params, random, state)
            result = getattr(copy, method)(*inputs, **keywords)
            return result, nnx.split(copy, nnx.Param, nnx.RngState, ...)[3]

        def params_of(new: Any) -> Any:
            return nnx.split(new, nnx.Param, ...)[1]

        def whole(params: Any, state: Any) -> Any:
            merge = getattr(nnx, "merge_state", None) or nnx.State.merge
            return nnx.to_pure_dict(merge(params, state))

        flags = ("deterministic", "use_running_average")
        if any(hasattr(part, flag) for _, part in nnx.iter_graph(module) for flag in flags):
            options["train"] = options.get("train") or {}
        return _OfFramework("nnx", params, state, call, params_of, whole, options)

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
            options: `train`, `eval`: keywords of the call in each mode; `name`, `make`, `inputs`, `outputs`,
                `optimizer`: as `Model` takes them; `make` returns a module.
        """
        import equinox as eqx

        params, static = eqx.partition(model, eqx.is_inexact_array)
        states, fixed_state = eqx.partition(state, eqx.is_array)  # counters, too, which a call moves on

        def call(params: Any, states: Any, inputs: Any, mode: str, keywords: Any) -> tuple[Any, Any]:
            whole = eqx.combine(params, static)
            whole = whole if mode == CALL else eqx.nn.inference_mode(whole, mode == EVAL)

            def one(state: Any, key: Any, *inputs: Any) -> Any:
                more = {} if key is None else {"key": key}
                taken = inputs if state is None else (*inputs, state)
                return getattr(whole, method)(*taken, **more, **keywords)

            keys, function = key, one
            if batched:
                size = jax.tree.leaves(inputs)[0].shape[0]
                keys = None if key is None else jax.random.split(key, size)
                axes = (None, None if key is None else 0, *([0] * len(inputs)))
                function = jax.vmap(one, axes, 0 if state is None else (0, None), axis_name=axis_name)
            result = function(eqx.combine(states, fixed_state), keys, *inputs)
            return (result, states) if state is None else (result[0], eqx.filter(result[1], eqx.is_array))

        def whole(params: Any, states: Any) -> Any:
            module = eqx.combine(params, static)
            return module if state is None else (module, eqx.combine(states, fixed_state))

        def params_of(new: Any) -> Any:
            return eqx.filter(new, eqx.is_inexact_array)

        parts = jax.tree.leaves(model, is_leaf=lambda part: hasattr(part, "inference"))
        if any(hasattr(part, "inference") for part in parts):
            options["train"] = options.get("train") or {}
        result = _OfFramework("equinox", params, states, call, params_of, whole, options)
        if isinstance(state, eqx.nn.State):
            result.state_paths = _state_paths(model, state, eqx)
        if not batched:
            result.hint = "If the Equinox module takes one example, give batched=True, which maps it over a batch."
        return result

    @classmethod
    def torch(cls, module: Any, *, method: str = "forward", **options: Unpack[Options]) -> "Model":
        """A module of PyTorch. It is put into both of its modes, by `module.train()` and `module.eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: `train`, `eval`: keywords of the call in each mode; `name`, `make`, `inputs`, `outputs`: as `Model`
                takes them; `inputs` and `outputs` get tensors; `make` is a function without arguments that returns a
                new module, with PyTorch's generator seeded.
        """
        from torch.nn import Module  # pyright: ignore[reportMissingImports]

        _expect(module, Module, "torch.nn.Module")
        return _TorchModel(module, method, options)


class _OfFramework(Model):
    """A model whose function also takes its inputs as a tuple, the mode, and the keywords of the mode."""

    def __init__(
        self,
        framework: str,
        params: Any,
        state: Any,
        function: Callable[..., tuple[Any, Any]],
        params_of: Callable[[Any], Any],
        whole: Callable[[Any, Any], Any] | None,
        options: Options,
    ):
        if (make := options.get("make")) is not None:
            options["make"] = lambda key: params_of(make(key))
        named: Any = {"name": framework} | options
        super().__init__(params, function, state=state, **named)
        self.framework, self.whole = framework, whole

    def _called(self, params: Any, state: Any, inputs: tuple[Any, ...], mode: str) -> tuple[Any, Any]:
        return self._function(params, state, inputs, mode, self.keywords[mode])


class _TorchModel(_OfFramework):
    def __init__(self, module: Any, method: str, options: Options):
        if (make := options.get("make")) is not None:
            options["make"] = lambda key: _seeded(make, key)
        options["train"] = options.get("train") or {}
        state = {key: _array(value) for key, value in module.named_buffers() if value.is_floating_point()}
        function, params = getattr(module, method), _torch_params(module)
        super().__init__("torch", params, state, function, _torch_params, None, options)
        self._module, self._method = module, method

    def program(self, inputs: tuple[Any, ...], mode: str) -> Any:
        from .torch_program import TorchProgram

        return TorchProgram(self, self._module, self._method, inputs, mode)


def _state_paths(model: Any, state: Any, eqx: Any) -> list[str]:
    """The paths of the leaves of a state, by those of the indices in the model that they belong to."""

    def is_index(part: Any) -> bool:
        return isinstance(part, eqx.nn.StateIndex)

    parts = jax.tree_util.tree_flatten_with_path(model, is_leaf=is_index)[0]
    paths = {
        id(leaf): path_of((*keys, *inside))
        for keys, part in parts
        if is_index(part)
        for inside, leaf in jax.tree_util.tree_flatten_with_path(state.get(part))[0]
    }
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return [paths.get(id(leaf)) or path_of(keys) for keys, leaf in leaves if is_float(leaf)]


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
