"""The recipes of the docs as programs, and one way to call what they make, whatever the
framework.
"""

import contextlib
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import pytest
from flax import nnx
from trigru.common.parameters.layouts import flatten
from trigru.common.parameters.record import config_of
from trigru.impls import get_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "recipes"
TITLES = {"linen": "Flax linen", "nnx": "Flax NNX", "equinox": "Equinox"}
_TAB = re.compile(
    r'^=== "([^"]+)"\n\n    ```python\n(.*?)^    ```', re.MULTILINE | re.DOTALL
)
_SHARED = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Program(NamedTuple):
    """A tab's code on a page, and what the frameworks share below it."""

    page: str
    heading: str  # that it stands below
    title: str  # of its tab
    code: str
    line: int  # of the page, before the code


def programs() -> Iterator[Program]:
    """Every tab of every recipe that the site lists."""
    for name in re.findall(
        r"recipes/(.+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    ):
        text = (FOLDER / name).read_text(encoding="utf-8")
        starts = [match.start() for match in re.finditer(r"^##? ", text, re.MULTILINE)]
        for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
            heading, _, part = text[start:end].partition("\n")
            shared = "".join(_SHARED.findall(part))
            for tab in _TAB.finditer(part):
                line = text[: start + len(heading) + 1 + tab.start(2)].count("\n")
                yield Program(
                    name,
                    heading.lstrip("# "),
                    tab[1],
                    textwrap.dedent(tab[2]) + shared,
                    line,
                )


class Model(NamedTuple):
    """What a recipe made, with some parameters."""

    #: what the recipe's own functions take: parameters in linen, a module elsewhere
    whole: Any
    call: Callable[..., Any]  # runs it on a batch

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.call(*arguments, **options)


class Recipe:
    """A program that has run: its names are attributes.

    What it calls `model`, in linen with its `params`, can be called in one way in every
    framework.
    """

    def __init__(self, program: Program, framework: str, folder: Path):
        self.program, self.framework, self.folder = program, framework, folder
        self.names: dict[str, Any] = {"__name__": "recipe"}
        with contextlib.chdir(folder):
            exec(
                compile(
                    "\n" * program.line + program.code,
                    str(FOLDER / program.page),
                    "exec",
                ),
                self.names,
            )

    def __getattr__(self, name: str) -> Any:
        if name not in self.names:
            raise AttributeError(f"the recipe has no {name}")
        return self.names[name]

    def edited(self, old: str, new: str) -> "Recipe":
        """The recipe with another line, run anew."""
        assert self.program.code.count(old) == 1, f"{old!r} is to be found once"
        changed = self.program._replace(code=self.program.code.replace(old, new))
        return Recipe(changed, self.framework, self.folder)

    @property
    def tree(self) -> Any:
        return self._split()[0]

    @property
    def flat(self) -> dict[str, jax.Array]:
        return flatten(self.tree)

    def bound(self, tree: Any = None) -> Model:
        params, bind = self._split()
        return bind(params if tree is None else tree)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.bound()(*arguments, **options)

    def gradient(self, loss: Callable[[Model], Any]) -> Any:
        params, bind = self._split()
        return jax.jit(jax.grad(lambda params: loss(bind(params))))(params)

    def gradients(self, loss: Callable[[Model], Any]) -> dict[str, jax.Array]:
        return flatten(self.gradient(loss))

    def starts(self, loss: Callable[[Model], Any]) -> dict[str, jax.Array]:
        """The gradients of arrays called `initial_carry`, by what stands before that in
        their names.
        """
        name, found = "initial_carry", self.gradients(loss)
        return {
            key.removesuffix(name): array
            for key, array in found.items()
            if key.endswith(name)
        }

    def gru(self, prefix: str = "") -> Callable[..., Any]:
        """A GRU within the model, as plain JAX computes it: what a recipe's values are
        compared with.
        """
        flat = {
            name.removeprefix(prefix): array
            for name, array in self.flat.items()
            if name.startswith(prefix)
        }
        record = get_port(self.framework).layout.record(flat)
        pure = get_port("pure")
        return partial(pure.apply, pure.load(config_of(record), record))

    def _split(self) -> tuple[Any, Callable[[Any], Model]]:
        model = self.names["model"]
        if self.framework == "linen":
            return self.names["params"], lambda params: Model(
                params, partial(model.apply, {"params": params})
            )
        if self.framework == "nnx":
            graphdef, params, rest = nnx.split(model, nnx.Param, ...)
            return params, lambda params: Model(
                *[nnx.merge(graphdef, params, rest)] * 2
            )
        params, static = eqx.partition(model, eqx.is_inexact_array)

        def combine(params: Any) -> Model:
            combined: Any = eqx.combine(params, static)
            return Model(combined, jax.vmap(combined))

        return params, combine


def recipe_fixture(place: str) -> Any:
    """A fixture of a recipe, "page.md#heading", that has run once in each framework for
    all tests of a module.
    """
    page, _, heading = place.partition("#")

    @pytest.fixture(scope="module", params=TITLES)
    def recipe(request, tmp_path_factory):
        of = [
            p for p in programs() if (p.page, p.title) == (page, TITLES[request.param])
        ]
        (program,) = (p for p in of if heading in ("", p.heading))
        return Recipe(program, request.param, tmp_path_factory.mktemp("recipe"))

    return recipe
