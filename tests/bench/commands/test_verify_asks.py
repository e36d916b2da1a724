"""What `trigru verify` asks about, with which prover, what it says of the answers, and its exit code."""

import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import typer
from support.runs import EQUAL
from trigru.bench.commands import verify as command
from trigru.bench.commands.verify import Thorough
from trigru.bench.proving.messages import Asked, Subject
from trigru.bench.proving.prover import Proof, Prover
from trigru.common.equality.checks import get_checks
from trigru.common.gru.kernels import Kernel, parse_kernel

WRONG = replace(EQUAL, error=1.0)
STOCK, FUSED = Kernel(), parse_kernel("fused")


@pytest.fixture
def prover():
    return Prover(keep=False)


@pytest.fixture
def provers(monkeypatch):
    """With which options provers are made."""
    made = []
    monkeypatch.setattr(command, "Prover", lambda **how: made.append(how) or nullcontext(Prover(keep=False)))
    return made


@pytest.fixture
def held(monkeypatch):
    """What is held to the oracle; all of it is well, unless `held.answer` says otherwise."""
    held = SimpleNamespace(asked=[], answer=[EQUAL])
    monkeypatch.setattr(command, "hold", lambda *of, **how: held.asked.append((of, how)) or list(held.answer))
    return held


# random rows


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_seed_of_zero_is_a_seed(seed):
    subjects = [Subject("port", "pure"), Subject("port", "nnx")]
    asked = Thorough(budget_s=120.0, seed=seed).rows(subjects, processes=1)
    assert [(q.subject.name, int(q.row["seed"])) for q in asked] == [
        (name, seed + drawn) for drawn in (0, 1000) for name in ("pure", "nnx")
    ]
    assert {(q.check, q.compiled) for q in asked} == {("random", False)}


def test_rows_are_drawn_for_five_minutes_and_half_a_minute_at_a_time():
    asked = Thorough(seed=1).rows([Subject("port", "pure")], processes=1)
    assert [q.row["seconds"] for q in asked] == ["30.0"] * 10
    (short,) = Thorough(budget_s=1.0, seed=0).rows([Subject("port", "pure")], processes=1)
    assert short.row["seconds"] == "1.0"
    shared = Thorough(seed=0).rows([Subject("port", name) for name in ("pure", "linen", "nnx", "equinox")], processes=2)
    assert [q.row["seconds"] for q in shared] == ["30.0"] * 20


def test_rows_are_drawn_anew_each_time():
    assert len({Thorough().rows([Subject("port", "pure")], 1)[0].row["seed"] for _ in range(5)}) > 1


# what is said


def test_a_proof_says_which_rows_were_covered_and_not_those_that_died_or_are_not_offered(monkeypatch, capsys, prover):
    of = {name: Subject("port", "pure", name) for name in (None, "fused")}
    asked = [Asked(of[kernel], "contract", {"T": str(number)}) for kernel in (None, "fused") for number in range(4)]
    asked.append(Asked(of[None], "held"))
    lacking = replace(EQUAL, error=None, problem="not offered: x")
    answers = [[lacking if q.row == {"T": "1"} else EQUAL, EQUAL] for q in asked]
    dead = [q for q in asked if q.row == {"T": "3"}]
    monkeypatch.setattr(command, "_prove", lambda what, questions, *, prover: Proof(answers, 0, 0, dead))
    monkeypatch.setattr(command, "coverage_of", lambda port, rows: ([row["T"] for row in rows], 50))
    found = command._hold(asked, prover=prover)
    assert {subject: len(some) for subject, some in found.items()} == {of[None]: 10, of["fused"]: 8}
    assert capsys.readouterr().err.splitlines() == [
        "pure: 2 rows cover ['0', '2'] of 50 pairs and triples of levels.",
        "pure:fused: 2 rows cover ['0', '2'] of 50 pairs and triples of levels.",
    ]


@pytest.mark.parametrize(
    ("measured", "missing", "code", "said"),
    [
        ([EQUAL] * 3, {}, 0, "3 measurements, all within their bounds.\n"),
        ([EQUAL], {"linen": "no flax", "nnx": "no flax"}, 0, "within their bounds. Not checked: linen, nnx.\n"),
        ([EQUAL, WRONG, EQUAL], {}, 1, "1 of 3 measurements failed.\n"),
        ([WRONG, WRONG], {"linen": "no flax"}, 1, "2 of 2 measurements failed.\n"),
    ],
)
@pytest.mark.parametrize("speaks_json", [False, True])
def test_what_was_measured_is_told_and_decides_the_exit_code(
    monkeypatch, capsys, prover, measured, missing, code, said, speaks_json
):
    given, scripts = [], []
    monkeypatch.setattr(command, "verify_ports", lambda *of, **how: given.append((*of, how)) or (measured, missing))
    monkeypatch.setattr(command, "_write_scripts", scripts.append)
    monkeypatch.setattr(command, "versions_of", lambda packages: dict.fromkeys(packages, "1"))
    how = {"thorough": Thorough(), "devices": 2, "anew": True, "prover": prover}
    with pytest.raises(typer.Exit) if code else nullcontext() as left:
        command.verify(["linen", "equinox"], ["float32"], ["step"], ["fused"], json=speaks_json, **how)
    assert not code or left.value.exit_code == code
    assert given == [(("linen", "equinox"), ("float32",), get_checks("step"), (FUSED,), how)]
    assert scripts == [measured]
    out, err = capsys.readouterr()
    assert err.endswith(said)
    if speaks_json:
        data = json.loads(out)
        assert (len(data["measurements"]), data["unavailable"]) == (len(measured), missing)
        assert ("flax" in data["versions"], "equinox" in data["versions"]) == ("linen" not in missing, True)


def test_of_many_kinds_of_rows_that_failed_the_first_eight_have_scripts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    row = replace(WRONG, check="contract", levels={"T": "1"})
    lacking = replace(row, port="lacking", error=None, problem="not offered: x")
    spared = [replace(row, levels=None, check="step"), replace(row, port="right", error=0.0), lacking]
    command._write_scripts([*spared, *(replace(row, kernel=f"fused@chunk={n}") for n in range(1, 12))])
    written = sorted(path.name for path in command.SCRIPTS.iterdir())
    assert written == [f"linen-fused-chunk={n}-contract.py" for n in range(1, 9)]
    assert len(capsys.readouterr().err.splitlines()) == 8
