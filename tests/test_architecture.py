"""The folders are the architecture: what may import what, and what is public."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = {"flax", "equinox", "haiku", "keras", "torch"}
OF_PORT = {"pure": set(), "linen": {"flax"}, "nnx": {"flax"}, "equinox": {"equinox"}}


#: "impls" but for its one-file ports, by folder: what they may import beside their own.
MAY_IMPORT = {"common": set(), "impls": {"common"}, "bench": {"common", "impls"}}


def sources(folder):
    return sorted(path for path in ROOT.glob(f"{folder}/**/*.py") if not path.name.startswith("test_"))


def imported(path):
    """Absolute names, and those inside the package as (folder, module)."""
    package = ("trigru", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                yield node.module.split(".")[0], node.module
                continue
            base = package[: len(package) - node.level + 1]
            modules = [node.module] if node.module else [alias.name for alias in node.names]
            for module in modules:
                _, folder, *rest = (*base, *module.split("."))
                yield f"trigru.{folder}", ".".join(rest)


@pytest.mark.parametrize("path", [p for f in MAY_IMPORT for p in sources(f)], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    own = path.relative_to(ROOT).parts[0]
    allowed = {f"trigru.{folder}" for folder in {own, *MAY_IMPORT[own]}}
    tops = {top for top, _ in imported(path)}
    assert {top for top in tops if top.startswith("trigru")} <= allowed
    if own == "common":
        assert not tops & FRAMEWORKS


@pytest.mark.parametrize("path", [ROOT / "impls" / f"{name}.py" for name in OF_PORT], ids=lambda p: p.name)
def test_ports_import_common_and_their_own_framework_alone(path):
    for top, module in imported(path):
        assert top != "trigru.impls", f"one port does not import another: {module}"
        assert top not in FRAMEWORKS or top in OF_PORT[path.stem]


@pytest.mark.parametrize("name", OF_PORT)
def test_importing_one_port_imports_no_other_framework(name):
    code = f"import sys, trigru.impls.{name}; print(sorted(set({sorted(FRAMEWORKS)}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(sorted(OF_PORT[name]))


def test_the_oracle_knows_nothing_of_jax():
    code = "import sys, trigru.common.oracle; print('jax' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_what_is_public_exists_and_is_documented(module_name):
    module = importlib.import_module(module_name)
    assert module.__doc__
    for public in module.__all__:
        thing = getattr(module, public)
        assert not callable(thing) or thing.__doc__, f"{module_name}.{public}"


#: Names that users import. Taking one away is a breaking change.
PUBLIC = {
    "trigru.common.checks": "CHECKS DTYPES STAYS Answers Check checks_named",
    "trigru.common.config": "GRUConfig check_dtypes check_flag check_sizes",
    "trigru.common.equivalence": "Measurement accuracy_bound assert_equivalent relative_error verify",
    "trigru.common.errors": "InputError NotOfferedError ParamsFileError TrigruError UnavailableError UnknownNameError",
    "trigru.common.fused": "Weights fused_scan",
    "trigru.common.kernels": "STOCK FusedKernel kernel_named",
    "trigru.common.layouts": "CANONICAL CARRY NO_BIASES TORCH Layout Row flatten",
    "trigru.common.optimizers": "carry_learning_rate",
    "trigru.common.params": (
        "ClassifierParams GRUParams ReadoutParams array_problem check_params config_of leaves random_params"
    ),
    "trigru.common.port": (
        "CallStyle Port Program WithKernel available_styles check_config check_load functional_program make_task"
    ),
    "trigru.impls": "find_style get_port port_names unavailable",
    "trigru.impls.checkpoints": "Converted convert layouts read write",
    "trigru.impls.equinox": "GRU PORT",
    "trigru.impls.linen": "GRU PORT Model",
    "trigru.impls.nnx": "GRU PORT GRUCell",
    "trigru.impls.pure": "PORT Params gru gru_step init",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_pinned(name):
    assert importlib.import_module(name).__all__ == PUBLIC[name].split()
