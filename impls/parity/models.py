"""Models of each framework, as parameters and a function.

A framework is imported when it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from ...common.errors import InputError
from ...common.program import model as base
from .parts import Parts

__all__ = ["Model"]


class Options(TypedDict, total=False):
    """The options of `Model`, which all constructors take.

    `train` and `eval` are keywords of the call in each mode.
    """

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
            variables: what `module.init` returns, or trained ones. The collection
                `params` has the parameters; the others are state.
            method: as `module.apply` takes it.
            rngs: random keys, as `module.apply` takes them.
            mutable: the collections that change in a call. By default, all but `params`
                change while training, and none otherwise.
            options: as `Model` takes them, such as `train={"deterministic": False}`;
                `make` returns variables.
        """
        from flax.linen import Module

        from .of_linen import take_apart

        _check_kind(module, Module, "flax.linen.Module")
        parts = take_apart(module, variables, method=method, rngs=rngs, mutable=mutable)
        return _model(parts, options)

    @classmethod
    def nnx(
        cls, module: Any, *, method: str = "__call__", **options: Unpack[Options]
    ) -> "Model":
        """A module of Flax NNX.

        A copy is put into both of its modes, by `train()` and `eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: as `Model` takes them; `make` returns a module.
        """
        from flax.nnx import Module

        from .of_nnx import take_apart

        _check_kind(module, Module, "flax.nnx.Module")
        return _model(take_apart(module, method=method), options)

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
        """A module of Equinox.

        If it has an `inference` flag, that is off while training, and on while
        evaluating.

        Args:
            model: it.
            state: an `eqx.nn.State`, if the model takes and returns one.
            batched: map the model over the first axis of each input; a state is shared.
            method: the name of the method that is called.
            key: a random key, passed on as the keyword `key`; a batch gets one for each
                example.
            axis_name: of the batch, as batch normalization asks for it.
            options: as `Model` takes them; `make` returns a module.
        """
        from .of_equinox import take_apart

        parts = take_apart(
            model,
            state=state,
            batched=batched,
            method=method,
            key=key,
            axis_name=axis_name,
        )
        return _model(parts, options)

    @classmethod
    def torch(
        cls, module: Any, *, method: str = "forward", **options: Unpack[Options]
    ) -> "Model":
        """A module of PyTorch.

        A copy is put into both of its modes, by `train()` and `eval()`.

        Args:
            module: it; it is not changed.
            method: the name of the method that is called.
            options: as `Model` takes them, but no `optimizer`. `inputs` and `outputs`
                get tensors. `make` has no arguments and returns a new module; PyTorch's
                generator is seeded before.
        """
        from torch.nn import Module  # pyright: ignore[reportMissingImports]

        from .of_torch import seeded, take_apart

        _check_kind(module, Module, "torch.nn.Module")
        if options.get("optimizer") is not None:
            raise InputError(
                "Model.torch takes no optimizer: steps of optimizers of Optax are "
                "compared for JAX alone."
            )
        make = options.get("make")
        if make is not None:
            options["make"] = seeded(make)
        return _model(take_apart(module, method=method), options)


def _model(parts: Parts, options: Options) -> Model:
    """A model of the parts of a module.

    Its function takes its inputs as a tuple, and also the mode and its keywords.
    """
    named = {"name": parts.framework, **options}
    make = options.get("make")
    if make is not None:
        named["make"] = lambda key: parts.params_of(make(key))
    if parts.has_modes and named.get("train") is None:
        named["train"] = {}

    model = Model(parts.params, parts.call, state=parts.state, **named)
    model.takes_mode = True
    model.framework = parts.framework
    model.whole = parts.whole
    model.state_paths = parts.state_paths
    model.hint = parts.hint
    model.programs = parts.programs
    return model


def _check_kind(module: Any, kind: type, name: str) -> None:
    if not isinstance(module, kind):
        raise InputError(
            f"expected a {name}, got an object of type {type(module).__name__}."
        )
