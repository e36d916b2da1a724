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
from trigru.bench.processes.cluster import Cluster
from trigru.bench.proving.messages import Asked, Subject
from trigru.bench.proving.prover import Proof, Prover
from trigru.common.equality.checks import ON_DEVICES, THOROUGH, get_checks
from trigru.common.equality.verification import usual_checks
from trigru.common.errors import InputError
from trigru.common.gru.kernels import Kernel, parse_kernel
from trigru.impls.faults import FAULTS
from trigru.impls.upstream import ON_RECORD

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
    assert {(q.check, q.style, q.dtype, q.optimized) for q in asked} == {("random", None, "float64", False)}


def test_rows_are_drawn_for_five_minutes_and_half_a_minute_at_a_time():
    asked = Thorough(seed=1).rows([Subject("port", "pure")], processes=1)
    assert [q.row["seconds"] for q in asked] == ["30.0"] * 10
    (short,) = Thorough(budget_s=1.0, seed=0).rows([Subject("port", "pure")], processes=1)
    assert short.row["seconds"] == "1.0"
    shared = Thorough(seed=0).rows([Subject("port", name) for name in ("pure", "linen", "nnx", "equinox")], processes=2)
    assert [q.row["seconds"] for q in shared] == ["30.0"] * 20


def test_rows_are_drawn_anew_each_time():
    assert len({Thorough().rows([Subject("port", "pure")], 1)[0].row["seed"] for _ in range(5)}) > 1


# what is asked


@pytest.mark.parametrize("thorough", [None, Thorough(seed=0)])
@pytest.mark.parametrize("keep", [False, True])
def test_each_port_is_asked_about_each_kernel_that_it_offers(held, provers, monkeypatch, capsys, thorough, keep):
    offered = {"pure": ("stock", "fused"), "nnx": ("stock",)}
    monkeypatch.setattr(command, "get_port", lambda name: SimpleNamespace(kernels=offered[name]))
    monkeypatch.setattr(command, "unavailable", lambda name: "no flax" if name == "linen" else None)
    found, missing = command.verify_ports(
        ("linen", "pure", "nnx"), ("float32",), get_checks("step"), (STOCK, FUSED), ("jit",),
        thorough=thorough, devices=4, prover=(mine := Prover(keep=keep)),
    )  # fmt: skip
    assert (found, missing, capsys.readouterr().err) == ([EQUAL] * 2, {"linen": "no flax"}, "no flax\n")
    ((subjects, dtypes, checks, styles), how), (of_devices, other) = held.asked
    assert subjects == [Subject("port", "pure"), Subject("port", "nnx"), Subject("port", "pure", "fused")]
    assert (dtypes, styles, how) == (("float32",), ("jit",), {"thorough": thorough, "prover": mine})
    more = {check.name for check in THOROUGH} - {"random"}
    assert {c.name for c in checks} == ({c.name for c in usual_checks()} | more if thorough else {"step"})
    assert of_devices == (subjects, ("float64",), ON_DEVICES)
    assert other["prover"] is not mine
    assert provers == [{"keep": mine.programs is not None, "devices": 4}]
    held.asked.clear()
    command.verify_ports(("pure",), ("float32",), None, prover=mine)
    assert len(held.asked) == len(provers) == 1, "no devices, no further prover"
    assert held.asked[0][0][2] is None


def test_of_a_fault_a_few_rows_with_its_levels_are_asked_and_all_checks_where_those_notice_nothing(monkeypatch, prover):
    fault = next(fault for fault in FAULTS if fault.levels)
    (other,) = (fault for fault in FAULTS if fault.name == "no-b-hn")
    asked, checks = [], get_checks("chunks", other.check, fault.check, "step")
    monkeypatch.setattr(command.faults, "FAULTS", (fault, other))
    monkeypatch.setattr(command.verification, "CHECKS", checks)

    def prove(what, questions, *, prover):
        asked.append((what, questions))
        return Proof([[] for _ in questions], 0, 0, [])

    monkeypatch.setattr(command, "_prove", prove)
    assert command.hold_faults(prover=prover) == ({fault.name: [], other.name: []}, True)
    (first, questions), (second, others) = asked
    assert first == second == "self-test"
    of_fault = [q for q in questions if q.subject == Subject("fault", fault.name)]
    assert len(of_fault) == command.ROWS_OF_A_FAULT == 4
    assert all(fault.levels.items() <= q.row.items() for q in of_fault)
    of_port = [q for q in questions if q.subject == Subject("port", "pure")]
    assert {q.check for q in of_port} == {check.name for check in checks}
    assert len(of_port) > 100, "of a port without a fault all rows are asked"
    assert {q.check for q in questions if q.subject.name == other.name} == {other.check}
    assert {(q.subject.name, q.check) for q in others} == {
        (of.name, check.name) for of in (fault, other) for check in checks if check.name != of.check
    }


# what is said


def test_a_proof_says_which_rows_were_covered_and_not_those_that_died_or_are_not_offered(monkeypatch, capsys, prover):
    of = {name: Subject("port", "pure", name) for name in (None, "fused")}
    asked = [
        Asked(of[kernel], check, None, "float64", False, {"T": str(number)})
        for kernel, check in ((None, "contract"), ("fused", "contract"), (None, "triples"))
        for number in range(4)
    ] + [Asked(of[None], "step", None, "float64", True)]
    lacking = replace(EQUAL, error=None, problem="not offered: x")
    answers = [[lacking if q.row == {"T": "1"} else EQUAL, EQUAL] for q in asked]
    dead = [q for q in asked if q.row == {"T": "3"}]
    monkeypatch.setattr(command, "expand", lambda *_: list(asked))
    monkeypatch.setattr(command, "_prove", lambda what, questions, *, prover: Proof(answers, 0, 0, dead))
    for name, most in (("coverage_of", 50), ("triples_coverage_of", 70)):
        monkeypatch.setattr(command, name, lambda port, rows, most=most: ([row["T"] for row in rows], most))
    found = command.hold([of[None]], ("float64",), None, prover=prover)
    assert found == [m for answer in answers for m in answer]
    assert capsys.readouterr().err.splitlines() == [
        "pure: 2 programs cover ['0', '2'] of 50 pairs and triples of levels.",
        "pure:fused: 2 programs cover ['0', '2'] of 50 pairs and triples of levels.",
        "pure: 2 programs cover ['0', '2'] of 70 triples of levels of any three factors.",
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
    how = {"thorough": Thorough(), "devices": 2, "prover": prover}
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


# several hosts, and the frameworks' own parts


@pytest.mark.parametrize("host", [0, 1])
@pytest.mark.parametrize("devices", [None, 8])
@pytest.mark.parametrize("answer", [EQUAL, WRONG])
def test_every_host_asks_about_its_share_of_the_devices_and_the_first_tells(
    held, provers, capsys, host, devices, answer
):
    cluster, held.answer = Cluster("h:1", 4, host), [EQUAL, answer]
    with pytest.raises(typer.Exit) if answer is WRONG else nullcontext() as left:
        command.verify_together(["pure"], ["stock", "fused"], cluster, json=True, devices=devices)
    assert answer is EQUAL or left.value.exit_code == 1
    assert provers == [{"keep": False, "devices": devices and 2, "cluster": cluster}]
    ((asked, _),) = held.asked
    assert asked == ([Subject("port", "pure"), Subject("port", "pure", "fused")], ("float64",), ON_DEVICES)
    out, err = capsys.readouterr()
    assert (bool(out), err) == (host == 0, f"host {host} of 4 has done its part.\n")
    with pytest.raises(InputError, match="4 hosts cannot have 6 devices"):
        command.verify_together(["pure"], None, cluster, json=True, devices=6)


@pytest.mark.parametrize(("status", "code"), [(ON_RECORD, 0), ("GONE", 1), ("NEW", 1)])
def test_the_frameworks_own_parts_are_asked_all_but_rows_and_have_to_be_as_on_record(
    held, monkeypatch, capsys, prover, status, code
):
    monkeypatch.setattr(command, "unavailable", lambda name: "no equinox" if name == "equinox" else None)
    finding = SimpleNamespace(status=status)
    monkeypatch.setattr(command.upstream, "find_departures", lambda name, measured: [finding] * (name == "nnx"))
    for name in ("show", "departures_table"):
        monkeypatch.setattr(command, name, lambda *_: [])
    with pytest.raises(typer.Exit) if code else nullcontext() as left:
        command.report_upstream(None, ["float32"], None, json=False, prover=prover)
    assert not code or left.value.exit_code == code
    ((subjects, dtypes, checks), how), = held.asked  # fmt: skip
    assert (subjects, dtypes) == ([Subject("upstream", "linen"), Subject("upstream", "nnx")], ("float32",))
    assert {check.name for check in checks} == {c.name for c in command.verification.CHECKS if c.rows is None}
    assert how == {"prover": prover}
    assert ("1 departures, all on record." in capsys.readouterr().err) == (not code)
