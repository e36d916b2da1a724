"""The code of each call style, complete and runnable: what `trigru styles` prints, and the docs show.

Beside this module stands a program for each call style of a port, `<port>/<style>.py`. What stands above its first
`# %%` is needed by every phase; a line such as `# %% train_step, gradient` begins a part that these phases need.
"""

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.resources import files

from ...common.errors import UnavailableError

__all__ = ["code_of", "has_code"]

_PART = re.compile(r"^# %% (.+)\n", re.MULTILINE)


def has_code(port: str) -> bool:
    """Whether there is code of a port, which there is of trigru's own.

    >>> has_code("nnx"), has_code("by-hand")
    (True, False)
    """
    return port.isidentifier() and files(__name__).joinpath(port).is_dir()


def code_of(port: str, styles: Mapping[str, str]) -> str:
    """A program of a port that imports what it needs, makes a model, and uses it in each phase that is given.

    Args:
        port: the name of one of trigru's own.
        styles: the call style to show each phase in, in the order in which they are shown.

    Raises:
        UnavailableError: there is no code of the port.

    >>> print(code_of("equinox", {"forward": "filter_jit"}))
    import equinox as eqx
    import jax
    from trigru.impls.equinox import GRU
    <BLANKLINE>
    model = GRU(8, 32, jax.nn.initializers.normal(0.1), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 20, 8))  # (batch, time, inputs)
    <BLANKLINE>
    <BLANKLINE>
    @eqx.filter_jit
    def forward(model, x):
        return jax.vmap(model)(x)
    <BLANKLINE>
    <BLANKLINE>
    carry, outputs = forward(model, x)
    print(f"forward: carry {carry.shape}, outputs {outputs.shape}")
    <BLANKLINE>
    """
    if not has_code(port):
        raise UnavailableError(f"there is no code of port {port!r}: only trigru's own ports have some.")
    imports: dict[tuple[str, str], None] = {}
    parts: dict[str, None] = {}
    for phase, style in styles.items():
        source = files(__name__).joinpath(port, f"{style}.py").read_text(encoding="utf-8")
        head, *rest = _PART.split(source)
        imported, common = _split_imports(head)
        needed = [text for phases, text in zip(rest[::2], rest[1::2], strict=True) if phase in phases.split(", ")]
        imports |= dict.fromkeys(imported)
        parts |= dict.fromkeys(text.strip("\n") for text in (common, *needed))
    body = _join(parts)
    return f"{_imports(imports, body)}\n\n{body}\n"


def _split_imports(head: str) -> tuple[list[tuple[str, str]], str]:
    """Each imported thing, as what stands before and after "import", and what follows the imports."""
    found, end = [], 0
    for node in ast.parse(head).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            found += [(start, ast.unparse(alias)) for alias in node.names]
            end = node.end_lineno or node.lineno
    return found, "\n".join(head.splitlines()[end:])


def _imports(imports: Iterable[tuple[str, str]], body: str) -> str:
    """Those that code needs, as ruff sorts them."""
    used = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    of_start: dict[tuple[str, str], list[str]] = {}
    for start, thing in sorted(imports):
        if thing.rpartition(" as ")[2] in used:
            of_start.setdefault((start, "" if start else thing), []).append(thing)  # modules have a line each
    lines = [f"{start}import {', '.join(things)}" for (start, _), things in of_start.items()]
    groups: tuple[list[str], list[str]] = [], []
    for line in lines:
        groups[re.split(r"[ .]", line)[1] not in sys.stdlib_module_names].append(line)
    return "\n\n".join("\n".join(group) for group in groups if group)


def _join(parts: Iterable[str]) -> str:
    """Parts one below the other, with two lines between them around functions."""
    joined = ""
    for part in parts:
        apart = part.startswith(("def ", "@")) or joined.rpartition("\n")[2].startswith(" ")
        joined += (("\n\n\n" if apart else "\n\n") if joined else "") + part
    return joined
