"""`trigru port`: what it prints of a user's files, its exit codes, and a sentence for
each bad file.
"""

import json
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from support.cli import call
from trigru.bench.commands.port_time import (
    ClockComparison,
    PhaseCost,
    arms_of,
    cost_lines,
    cost_of,
)
from trigru.parity import Model, compare

MODELS = """
import jax.numpy as jnp
import numpy as np
from trigru.parity import Model

params = {"w": np.arange(1, 13, dtype=np.float32).reshape(4, 3) / 10}
reference = Model(params, lambda p, x: jnp.tanh(x @ p["w"]), name="mine")
x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
"""
SAME = (
    'candidate = Model(params, lambda p, x: jnp.tanh((p["w"].T @ x.T).T), '
    'name="other")\n'
)
TURNED = (
    'candidate = Model({"v": np.ones((3, 4), "float32")}, lambda p, x: '
    'jnp.tanh(x @ p["v"].T), name="other")\n'
)
ANOTHER = 'candidate = Model(params, lambda p, x: jnp.sin(x @ p["w"]), name="other")\n'
UNKNOWN = (
    'candidate = Model({"v": np.ones((5, 1), np.float32)}, lambda p, x: x[:, '
    ':3] * p["v"].sum(), name="other")\n'
)


@pytest.fixture
def port(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **files):
        for name, code in files.items():
            (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        return call("port", *(arguments or [f"{next(iter(files))}.py"]))

    return run


@pytest.mark.parametrize(
    ("candidate", "code", "verdict"),
    [
        (SAME, 0, "the same function. These agree: outputs,"),
        (ANOTHER, 1, "another function. The outputs differ by"),
        (UNKNOWN, 125, "cannot be told. The outputs differ by"),
    ],
    ids=["same", "another", "unknown"],
)
def test_the_exit_code_is_the_verdict(port, candidate, code, verdict):
    left, out, err = port(my_port=MODELS + candidate)
    assert left == code, out + err
    assert out.startswith(f"other against mine: {verdict}")
    assert err.startswith("Run my_port.py.\nTrace mine and other.\n")


def test_the_line_where_the_models_of_two_files_part(port):
    left, out, _ = port(
        "a.py",
        "b.py:candidate",
        "--inputs",
        "a.py:x",
        a=MODELS,
        b=MODELS.replace("x =", "y =") + ANOTHER,
    )
    assert left == 1
    assert (
        " candidate b.py:9\n      candidate = Model(params, lambda p, x: jnp.sin(x @ "
        'p["w"]), name="other")\n' in out
    )
    assert "  w = w, as it is (by values)\n" in out


def test_a_mapping_and_a_module_beside_the_file(port):
    swapped = """
from models import *
candidate = Model({"a": params["w"] * 2}, lambda p, x: jnp.tanh(x @ p["a"] / 2))
mapping = {"a": ("w", lambda w: 2 * w)}
"""
    left, out, _ = port("swapped.py", models=MODELS, swapped=swapped)
    assert left == 0, out
    assert "a = w, by the mapping" in out
    assert "steps of training are not compared" in out


def test_two_folders_with_modules_of_the_same_name(port, tmp_path):
    for folder, factor in (("old", 1), ("new", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "layers.py").write_text(
            f"FACTOR = {factor}\n", encoding="utf-8"
        )
        code = (
            f"from layers import FACTOR\n{MODELS}reference = Model(params, lambda "
            "p, x: FACTOR * x @ p['w'])\n"
        )
        (tmp_path / folder / "model.py").write_text(code, encoding="utf-8")
    codes = [
        port("old/model.py:reference", f"{folder}/model.py:reference")[0]
        for folder in ("new", "old")
    ]
    assert codes == [1, 0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "x = 1\n1 / 0",
            "my_port.py fails at line 2: ZeroDivisionError: division by zero",
        ),
        (
            "import sys\nsys.exit(3)",
            "my_port.py ends by itself, with exit code 3: expected models, and no "
            "script.",
        ),
        (
            "x = 1",
            "my_port.py has no 'reference': expected a trigru.parity.Model of that "
            "name.",
        ),
        (
            "reference = 3",
            "is of type int, expected a trigru.parity.Model, such as "
            "Model.linen(module, variables)",
        ),
        (
            MODELS + "candidate = None",
            "my_port.py is of type NoneType, expected a trigru.parity.Model",
        ),
        (
            MODELS.replace("x =", "y =") + SAME,
            "has no 'x': expected an array, or a tuple of arrays",
        ),
        (MODELS + SAME + "x[:] = np.nan", "an input has NaN or infinity"),
        (
            MODELS + SAME + "x = x[:, :3]",
            "my_port.py:7 with the inputs float32[2, 3]: TypeError",
        ),
        (MODELS + SAME + "mapping = ['w']", "mapping is of type list"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(port, tmp_path, code, message):
    left, out, err = port(my_port=code)
    assert (left, out) == (2, "")
    assert message in " ".join(err.split()), err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) < 10, err


def same_models():
    def mine(params, x):
        return jnp.tanh(x @ params["w"])

    def other(params, x):
        return jnp.tanh((params["w"].T @ x.T).T)

    w = np.linspace(0.1, 1.2, 12, dtype=np.float32)
    x = np.linspace(-1, 1, 8, dtype=np.float32)
    params = {"w": w.reshape(4, 3)}
    reference = Model(params, mine, name="mine")
    candidate = Model(params, other, name="other")
    return reference, candidate, (x.reshape(2, 4),)


def test_the_second_copy_of_the_reference_is_compiled_by_itself():
    reference, candidate, inputs = same_models()
    result = compare(reference, candidate, *inputs)
    arms = arms_of("forward", reference, candidate, inputs, result)
    executables = {id(arm.compiled.runtime_executable()) for arm in arms}
    assert len(executables) == 3


def test_what_models_cost_that_are_the_same_function():
    reference, candidate, inputs = same_models()
    result = compare(reference, candidate, *inputs)
    costs = list(cost_of(reference, candidate, inputs, result, rounds=6))
    assert [cost.phase for cost in costs] == ["forward", "train step"]
    for cost in costs:
        assert [timed.clock for timed in cost.timed] == ["blocked", "pipelined"]
        for timed in cost.timed:
            assert timed.low <= timed.ratio <= timed.high
            assert min(timed.time_s) > 0
        assert min(cost.build_s) > 0
        assert len(cost.temp_bytes) == 2


def test_the_costs_are_among_the_facts(port):
    left, out, _ = port(
        "my_port.py", "--time", "--format", "json", my_port=MODELS + SAME
    )
    costs = json.loads(out)["cost"]
    assert (left, [cost["phase"] for cost in costs]) == (0, ["forward", "train step"])
    assert costs[0]["timed"][0]["clock"] == "blocked"


def test_the_report_on_the_cost():
    timed = ClockComparison(1.25, 1.2, 1.3, "pipelined", 0.01, "slower", (2e-4, 2.5e-4))
    cost = PhaseCost(
        "forward",
        (timed,),
        (0.5, 0.75),
        (1_000_000, 2_500_000),
        {"dots": (2, 3)},
        False,
    )
    _, *lines = cost_lines([cost])
    assert lines == [
        "  forward, in a loop: 1.250 (1.200 to 1.300), slower; noise floor 1.0% (200 "
        "µs, 250 µs)",
        "  forward, to trace and compile: 0.75 s, the reference 0.50 s",
        "  forward, temporary memory: 2.5 MB, the reference 1 MB",
        "  forward, compiled: 3 dots against 2",
    ]


def test_models_of_another_function_are_not_timed_and_json_has_the_facts(port):
    left, out, err = port(
        "my_port.py", "--time", "--format", "json", my_port=MODELS + ANOTHER
    )
    facts = json.loads(out)
    assert (left, facts["verdict"], facts["places"][0]["candidate"]["line"]) == (
        1,
        "another",
        9,
    )
    assert facts["parameters"]["matched"] == [
        {"candidate": "w", "reference": ["w"], "how": "as it is", "by": "values"}
    ]
    assert not facts.get("cost")
    assert "They are not timed, since they are not the same function." in err


def test_the_candidate_is_saved(port, tmp_path):
    saved = tmp_path / "model.safetensors"
    code, out, err = port("my_port.py", "--save", str(saved), my_port=MODELS + TURNED)
    assert code == 0, out + err
    assert err.endswith(f"other is saved to {saved}, with the parameters of mine.\n")
    np.testing.assert_array_equal(
        load_file(saved)["v"], np.arange(1, 13, dtype="float32").reshape(4, 3).T / 10
    )


def test_a_suffix_is_refused_before_anything_is_compared(port, tmp_path):
    code, out, err = port(
        "my_port.py", "--save", str(tmp_path / "model.eqx"), my_port=MODELS + TURNED
    )
    assert (code, out) == (2, "")
    assert "expected .safetensors" in err
    assert [path.name for path in tmp_path.glob("model.*")] == []


# Python runs no handler of a signal while a C function runs, such as a compiler.
SLOW = """
import ctypes
sleep = ctypes.CDLL(None).sleep
print("begun", flush=True)
for _ in range(60):
    sleep(1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_its_exit_code(tmp_path, number):
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    command = [sys.executable, "-m", "trigru.bench.cli", "port", "slow.py"]
    process = subprocess.Popen(
        ["env", "--default-signal=INT,TERM,HUP", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (128 + number, "Run slow.py.\ninterrupted.\n")
