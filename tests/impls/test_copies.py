"""The model of each port works when it is copied into another project."""

import ast
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tabs
from support.cases import assert_near
from support.cli import run_code
from trigru.common.gru import checks, initializers, recurrence
from trigru.impls import get_port

ROOT = Path(__file__).parents[2]
SHARED = {"checks": checks, "initializers": initializers, "recurrence": recurrence}
#: How a program of each framework makes a model of 4 inputs and 8 units, and calls it.
CALLS = {
    "pure": "gru(init(4, 8, key=jax.random.key(0)), x)",
    "linen": "GRU(8).apply(GRU(8).init(jax.random.key(0), x), x)",
    "nnx": "GRU(4, 8, rngs=nnx.Rngs(params=jax.random.key(0)))(x)",
    "equinox": "jax.vmap(GRU(4, 8, key=jax.random.key(0)))(x)",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_copied_model_computes_what_its_port_computes(name):
    code = tabs.model_of(f"impls/{name}.py")
    program = f"{code}\nimport json\nx = jnp.ones((3, 5, 4))\n"
    program += f"_, outputs = {CALLS[name]}\nprint(json.dumps(outputs.tolist()))\n"
    outputs = np.array(json.loads(run_code(program)))

    port = get_port(name)
    model = port.model_class.construct(jax.random.key(0), 4, 8)
    _, expected = port.apply(model, jnp.ones((3, 5, 4)))
    assert_near(outputs, expected, 1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_a_copied_model_imports_documented_functions_alone(name):
    code = tabs.model_of(f"impls/{name}.py")
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^::: common\.gru\.\w+\.(\w+)$", page, re.MULTILINE))

    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("trigru"):
            assert node.module == "trigru.common.gru"
            assert {alias.name for alias in node.names} == set(SHARED)

    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in SHARED:
            assert node.attr in documented
            assert node.attr in SHARED[node.value.id].__all__
