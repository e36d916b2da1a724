"""The folders are the architecture: what may import what, and what is public."""

import ast
import doctest
import importlib
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
from support.cli import run_code
from trigru.common.errors import EXTRAS

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"flax", "equinox", "torch"}
OF_PORT = {"pure": set(), "linen": {"flax"}, "nnx": {"flax"}, "equinox": {"equinox"}}

#: Rooms from left to right: each may import those to its right, never the reverse. A
#: name on its own is a module.
ORDER = {
    "common": (
        *("equality", "parity", "program", "port", "gru", "parameters"),
        ("config", "datasets"),
        ("compat", "errors", "files"),
    ),
    "bench": (
        "cli",
        "commands",
        "reporting",
        "analysis",
        "proving",
        "timing",
        "arms",
        "processes",
        "results",
    ),
}
#: What stands beside the order, with all that it may import of its own folder, beside
#: itself.
BESIDE = {
    ("bench", "upgrades"): {"reporting", "results", "processes", "timing.machine"}
}
#: Folders that are installed under another name.
NAMED = {"impls/parity/public": "trigru.parity"}
#: What a folder may import of the others.
FOLDERS = {"common": set(), "impls": {"common"}, "bench": {"common", "impls"}}


def sources(folder):
    """The modules of the package in a folder; studies are scripts beside it."""
    paths = (
        path
        for path in ROOT.glob(f"{folder}/**/*.py")
        if not path.name.startswith("test_")
    )
    return sorted(path for path in paths if "studies" not in path.parts)


def test_what_is_imported_is_required_or_brought_by_the_extra_that_the_error_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = {None: project["dependencies"], **project["optional-dependencies"]}
    modules = {
        e: {re.match(r"[\w-]+", r)[0].replace("-", "_") for r in texts}
        for e, texts in brought.items()
    }
    others = {
        "jaxlib",
        "ml_dtypes",
        "pytest",
        "cpuinfo",
        "torch",
    }  # with JAX, pytest-benchmark, or at a user's
    for path in [path for folder in FOLDERS for path in sources(folder)]:
        for line, name in imported(path):
            top = name.partition(".")[0]
            if top not in {*sys.stdlib_module_names, "trigru", *others}:
                assert top in modules[EXTRAS.get(top)], f"{path}:{line}: {name}"


def imported(path):
    """Of each import, the line and the dotted name of what is imported: absolute, a
    module or a name in one.
    """
    package = name_of(path.parent).split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def may_import(source, target):
    """Whether one module, given by its parts below trigru, may import another."""
    folder, *rest = source
    if target[0] != folder:
        return target[0] in FOLDERS[folder]
    room, other = rest[0], ".".join(target[1:])
    if (folder, room) in BESIDE:
        allowed = {room, *BESIDE[folder, room]}
        return any(f"{other}.".startswith(f"{name}.") for name in allowed)
    order = [
        level if isinstance(level, tuple) else (level,)
        for level in ORDER.get(folder, ())
    ]
    rank = {name: number for number, level in enumerate(order) for name in level}
    if (
        room not in rank or target[1] not in rank
    ):  # a port, or what stands beside the order
        return (
            folder == "impls"
            or room == "__init__"
            or (room == "commands" and (folder, target[1]) in BESIDE)
        )
    return rank[target[1]] > rank[room] or target[1] == room


@pytest.mark.parametrize(
    "path",
    [p for f in FOLDERS for p in sources(f)],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_imports_point_one_way(path):
    source = path.relative_to(ROOT).with_suffix("").parts
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imported(path)
        if name.startswith("trigru.") and not may_import(source, name.split(".")[1:])
    ]
    assert not wrong, wrong
    allowed = {"common": set()} | {
        f"impls.{name}": own for name, own in OF_PORT.items()
    }
    here = "common" if source[0] == "common" else ".".join(source)
    if here in allowed:
        names = [name for _, name in imported(path)]
        assert {name.partition(".")[0] for name in names} & FRAMEWORKS <= allowed[here]
        others = {f"trigru.impls.{name}" for name in OF_PORT}
        assert not [
            name for name in names if {name, name.rpartition(".")[0]} & others
        ], "one port does not import another"


LOADS_LITTLE = {
    f"trigru.impls.{name}": FRAMEWORKS - own for name, own in OF_PORT.items()
}
LOADS_LITTLE |= {
    "trigru.common": {"jax", "optax", "scipy"},
    "trigru.common.equality.oracle": {"jax"},
}
LOADS_LITTLE |= {"trigru.bench.arms.arms": {"torch"}}
LOADS_LITTLE |= {"trigru.bench.commands.verify": {"scipy.stats"}}
LOADS_LITTLE |= {"trigru.bench.upgrades.bisect": {"jinja2", "scipy.stats"}}
# a snapshot's process notices what JAX warns of when it is imported
LOADS_LITTLE |= {
    f"trigru.bench.upgrades.{name}": {"jax"} for name in ("record", "worker")
}
LOADS_LITTLE |= {
    f"trigru.bench.{name}": {"jax", "numpy"} for name in ("cli", "upgrades.plugin")
}


@pytest.mark.parametrize("module", LOADS_LITTLE)
def test_importing_some_modules_loads_little_and_one_port_no_other_framework(module):
    code = f"import sys, {module}; print({LOADS_LITTLE[module]} & set(sys.modules))"
    assert run_code(code) == "set()\n"


#: Names that users import. Taking one away is a breaking change.
PUBLIC = {
    "trigru.common": (
        "GRUConfig get_checks Measurement assert_equivalent verify InputError NotOfferedError ParamsFileError "
        "TrigruError UnavailableError for_carry check_batch_shape check_call clip_lengths computation_dtype "
        "carry_learning_rate GRUParams config_of ModelClass CallStyle Port Program "
        "check_config check_load functional_program shared_styles vary_alike"
    ),
    "trigru.common.gru.checks": (
        "check_batch_shape check_call check_model clip_lengths computation_dtype"
    ),
    "trigru.common.gru.fused": "Weights fused_scan",
    "trigru.common.gru.initializers": (
        "fan_in_per_gate for_carry orthogonal orthogonal_per_gate per_gate"
    ),
    "trigru.common.gru.recurrence": (
        "Loop Weights begin begin_step cast is_fused prevent_cse"
    ),
    "trigru.impls": "get_port get_style own_ports port_names unavailable",
    "trigru.impls.checkpoints": "Converted convert exchange exchange_in_file layouts "
    "read write",
    "trigru.impls.equinox": "GRU PORT time_major",
    "trigru.impls.linen": "GRU PORT Model",
    "trigru.impls.nnx": "GRU PORT GRUCell",
    "trigru.impls.pure": "PORT Params get_initial_carry gru gru_step init",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_pinned(name):
    assert importlib.import_module(name).__all__ == PUBLIC[name].split()


def name_of(path):
    """The dotted name of a package in a folder of the repository, or of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return NAMED.get("/".join(parts), ".".join(("trigru", *parts)))


EXAMPLES = [
    path
    for folder in FOLDERS
    for path in sources(folder)
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", [*map(name_of, EXAMPLES)])
@pytest.mark.usefixtures("unchecked")
def test_examples(name):
    found = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert found.attempted
    assert found.failed == 0


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "bench" / "studies").glob("*.py")),
    ids=lambda path: path.stem,
)
def test_a_study_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(str(path.parent))
    assert runpy.run_path(str(path), run_name="study")["__doc__"]
