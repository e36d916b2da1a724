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


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@pytest.mark.parametrize("path", sorted(ROOT.glob("common/*.py")), ids=lambda p: p.name)
def test_common_imports_no_framework_and_nothing_above_it(path):
    for level, module in imported(path):
        assert module.split(".")[0] not in FRAMEWORKS
        assert level < 2, f"{path.name} imports {module} from outside common"


@pytest.mark.parametrize("path", sorted(ROOT.glob("impls/*.py")), ids=lambda p: p.name)
def test_ports_import_common_and_their_own_framework_alone(path):
    for level, module in imported(path):
        if level == 2:
            assert module.split(".")[0] == "common"
        elif path.stem in OF_PORT:
            assert level == 0, "one port does not import another"
            assert module.split(".")[0] in OF_PORT[path.stem] or module.split(".")[0] not in FRAMEWORKS


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
    "trigru.common.checks": "CHECKS Check checks_named",
    "trigru.common.config": "GRUConfig check_dtypes check_sizes",
    "trigru.common.equivalence": "Measurement accuracy_bound assert_equivalent relative_error verify",
    "trigru.common.errors": "InputError ParamsFileError TrigruError UnavailableError UnknownNameError",
    "trigru.common.params": "ClassifierParams GRUParams ReadoutParams check_params leaves random_params",
    "trigru.common.port": (
        "CallStyle Port Program available_styles check_config check_load functional_program make_task"
    ),
    "trigru.impls": "find_style get_port port_names unavailable",
    "trigru.impls.equinox": "GRU PORT",
    "trigru.impls.linen": "GRU PORT",
    "trigru.impls.nnx": "GRU PORT GRUCell",
    "trigru.impls.pure": "PORT Params gru gru_step init",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_pinned(name):
    assert importlib.import_module(name).__all__ == PUBLIC[name].split()
