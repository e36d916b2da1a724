"""One way to call what the recipes of the docs make, whatever the framework."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from flax import nnx
from recipes import FOLDER, Program
from trigru.common.parameters.layouts import flatten
from trigru.common.parameters.record import config_of
from trigru.impls import get_port

TITLES = {"linen": "Flax linen", "nnx": "Flax NNX", "equinox": "Equinox"}


@dataclass(frozen=True)
class Model:
    """What a recipe made, with some parameters.

    Args:
        whole: what the recipe's own functions take: parameters in linen, a module elsewhere.
        call: runs it on a batch.
        step: runs one time step of a batch.
    """

    whole: Any
    call: Callable[..., Any]
    step: Callable[..., Any]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.call(*arguments, **options)


def _linen(module: Any, params: Any) -> tuple[Any, Callable[[Any], Model]]:
    def bind(params: Any) -> Model:
        call = partial(module.apply, {"params": params})
        return Model(params, call, partial(call, method="step"))

    return params, bind


def _nnx(module: Any, _: Any) -> tuple[Any, Callable[[Any], Model]]:
    graphdef, params, rest = nnx.split(module, nnx.Param, ...)

    def bind(params: Any) -> Model:
        model: Any = nnx.merge(graphdef, params, rest)
        return Model(model, model, getattr(model, "step", None))

    return params, bind


def _equinox(module: Any, _: Any) -> tuple[Any, Callable[[Any], Model]]:
    params, static = eqx.partition(module, eqx.is_inexact_array)

    def bind(params: Any) -> Model:
        model: Any = eqx.combine(params, static)
        return Model(model, jax.vmap(model), jax.vmap(getattr(model, "step", model)))

    return params, bind


_WAYS = {"linen": _linen, "nnx": _nnx, "equinox": _equinox}


class Recipe:
    """A program that has run: its names are attributes.

    What it calls `model`, in linen with its `params`, can be called in one way in every framework.
    """

    def __init__(self, program: Program, framework: str, folder: Path):
        self.program, self.framework, self.folder = program, framework, folder
        self.names: dict[str, Any] = {"__name__": "recipe"}
        with contextlib.chdir(folder):
            exec(compile("\n" * program.line + program.code, str(FOLDER / program.page), "exec"), self.names)

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            raise AttributeError(f"the recipe has no {name}")
        return self.names[name]

    def edited(self, old: str, new: str) -> "Recipe":
        """The recipe with another line, run anew."""
        assert self.program.code.count(old) == 1, f"{old!r} is to be found once"
        changed = replace(self.program, code=self.program.code.replace(old, new))
        return Recipe(changed, self.framework, self.folder)

    @property
    def tree(self) -> Any:
        """The parameters, as gradients have them."""
        return self._parts()[0]

    @property
    def flat(self) -> dict[str, jax.Array]:
        """The parameters by name."""
        return flatten(self.tree)

    def bound(self, tree: Any = None) -> Model:
        """The model with its parameters, or with others."""
        params, bind = self._parts()
        return bind(params if tree is None else tree)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.bound()(*arguments, **options)

    def gradient(self, loss: Callable[[Model], Any]) -> Any:
        """Of a loss of the model, as a tree like the parameters."""
        params, bind = self._parts()
        return jax.jit(jax.grad(lambda params: loss(bind(params))))(params)

    def gradients(self, loss: Callable[[Model], Any]) -> dict[str, jax.Array]:
        """Of a loss of the model, by name."""
        return flatten(self.gradient(loss))

    def starts(self, loss: Callable[[Model], Any]) -> dict[str, jax.Array]:
        """The gradients of arrays called `initial_carry`, by what stands before that in their names."""
        found = self.gradients(loss)
        return {
            name.removesuffix("initial_carry"): array for name, array in found.items() if name.endswith("initial_carry")
        }

    def gru(self, prefix: str = "") -> Callable[..., Any]:
        """A GRU within the model, as plain JAX computes it: what a recipe's values are compared with."""
        flat = {name.removeprefix(prefix): array for name, array in self.flat.items() if name.startswith(prefix)}
        record = get_port(self.framework).layout.record(flat)
        pure = get_port("pure")
        return partial(pure.apply, pure.load(config_of(record), record))

    def _parts(self) -> tuple[Any, Callable[[Any], Model]]:
        return _WAYS[self.framework](self.names["model"], self.names.get("params"))
