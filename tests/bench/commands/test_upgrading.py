"""Which snapshots `trigru diff`, `bisect`, `matrix` and `snapshot` take, read and compare, and in which order."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import typer
from support.cli import call, invoke
from support.environments import Made, release_of
from support.runs import EQUAL, MACHINE
from support.snapshots import leave, snapshot_of, step_calls
from trigru.bench.commands import bisect, matrix, snapshot
from trigru.bench.commands import diff as command
from trigru.bench.commands.diff import read_kinds
from trigru.bench.proving.prover import Prover
from trigru.bench.upgrades.changes import FAILING, KINDS, Change
from trigru.bench.upgrades.folder import load
from trigru.bench.upgrades.matrix import Matrix, Row
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.versions import read_set
from trigru.common.errors import InputError, UnknownNameError


@pytest.fixture
def write(tmp_path):
    """Writes a snapshot into a folder of this name."""

    def written(name, *subjects, **facts):
        leave(tmp_path / name, *subjects, **facts)
        return tmp_path / name

    return written


# diff


def test_a_diff_reads_the_checkpoints_of_the_older_snapshot_and_goes_from_old_to_new(write, monkeypatch):
    old, new = (
        write(
            name, Subject(name, name), Subject("pure", "pure", calls=step_calls(lines)),
            machine=msgspec.structs.replace(MACHINE, versions=MACHINE.versions | {"jax": jax}),
        )
        for name, lines, jax in (("linen", 100, "0.5.0"), ("nnx", 200, "0.6.0"))
    )  # fmt: skip
    read = []
    monkeypatch.setattr(command, "unread", lambda folder, of: read.append((folder, of)) or [])
    found = invoke("diff", str(old), str(new))
    assert read == [(old, load(old)[0])]
    assert "Versions: jax 0.5.0 -> 0.6.0." in found.stdout
    (row,) = (line for line in found.stdout.splitlines() if line.startswith("pure"))
    assert row.index("100 lines") < row.index("200 lines")


def test_a_checkpoint_that_is_not_read_any_more_fails(write, monkeypatch):
    place = str(write("old", Subject("pure", "pure")))
    monkeypatch.setattr(command, "unread", lambda *_: [Change("checkpoints", "pure", "reading a.npz", "reads", "no")])
    found = invoke("diff", place, place)
    assert (found.exit_code, "reading a.npz" in found.stdout) == (1, True)
    assert "1 of 1 changes are of kinds that fail" in found.stderr
    assert invoke("diff", place, place, "--fail-on", "draws").exit_code == 0


def test_now_takes_what_the_older_snapshot_has_and_compares_it_as_the_newer(write, monkeypatch):
    """With equality if that has it, of its frameworks, each once."""
    seen, kept = [], []
    monkeypatch.setattr("trigru.bench.processes.probe.check_jax", lambda: None)
    monkeypatch.setattr("trigru.bench.proving.prover.Prover", lambda keep: kept.append(keep) or nullcontext("a prover"))

    def take_into(folder, names, **how):
        seen.append((names, how))
        leave(folder, Subject("nnx", "nnx", calls=step_calls(200)))

    monkeypatch.setattr("trigru.bench.commands.snapshot.take_into", take_into)
    subjects = Subject("nnx", "nnx", calls=step_calls(100)), Subject("nnx:fused", "nnx"), Subject("linen", "linen")
    for name, equality in (("without", None), ("with", []), ("proven", [EQUAL])):
        folder = write(name, *subjects, equality=equality)
        (folder / "results.json").touch()
        found = invoke("diff", str(folder), "--now", "--fail-on", "calls")
        assert found.exit_code == 1, found.exception
        (row,) = (line for line in found.stdout.splitlines() if line.startswith("nnx"))
        assert row.index("100 lines") < row.index("200 lines")
        assert seen.pop() == (["nnx", "linen"], {"equality": equality is not None, "prover": "a prover"})
        assert invoke("diff", str(folder), "--now", "--fail-on", "draws").exit_code == 0
        seen.clear()
    assert set(kept) == {True}
    with pytest.raises(InputError, match="OLD is of mine, and of no port"):
        command._take_now(Path("x"), snapshot_of(Subject("mine", "mine")))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (None, FAILING),
        ("all", tuple(kind for kind in KINDS if kind != "better")),
        ("none", ()),
        ("bits", ("bits",)),
        (" memory , draws,memory ", ("memory", "draws")),
        ("none,draws", ("draws",)),
    ],
)
def test_kinds_of_changes_are_read(text, kinds):
    assert read_kinds(text) == kinds


def test_better_is_no_kind_that_fails():
    with pytest.raises(UnknownNameError, match="broken, function, .*program, all, none"):
        read_kinds("better")


@pytest.mark.parametrize(
    ("holds", "compared"),
    [
        ("ss", "s"),
        ("rr", "r"),
        ("bb", "sr"),
        ("br", "r"),
        ("rb", "r"),
        ("sb", "s"),
        ("bs", "s"),
        ("sr", "s"),
        ("rs", "s"),
    ],
)
def test_what_two_folders_both_hold_is_compared(write, tmp_path, monkeypatch, holds, compared):
    """A folder holds a snapshot, a run or both."""
    seen = []
    monkeypatch.setattr(command, "_diff_snapshots", lambda *given, **how: seen.append(("s", given, how)) or False)
    monkeypatch.setattr(command, "_diff_runs", lambda *given, **how: seen.append(("r", given, how)) or 0)
    places = [tmp_path / name for name in ("old", "new")]
    for place, held in zip(places, holds, strict=True):
        write(place.name) if held in "sb" else place.mkdir()
        if held in "rb":
            (place / "results.json").touch()
    command.diff(*places, fail_on=("draws",), details=True, fail_above=0.25)
    assert "".join(kind for kind, _, _ in seen) == compared
    for kind, given, how in seen:
        assert list(given[:2]) == places
        assert how == {"details": True} | ({"output": None, "fail_above": 0.25} if kind == "r" else {})
    if "s" in holds:
        pages = holds in ("bb", "br", "rb")
        with nullcontext() if pages else pytest.raises(InputError, match="--output writes a page of two runs"):
            command.diff(*places, fail_on=(), details=False, output=tmp_path / "to")


# bisect


@pytest.fixture
def snapshots(monkeypatch):
    """From 0.2.0 on NNX warns, from 0.4.0 on it has another leaf, and from 0.5.0 on it runs more lines."""

    def run(made, words):
        number = release_of(made)
        warned = {"at make, nnx.py": ["DeprecationWarning: old"]} if number >= 2 else {}
        tree = dict.fromkeys(("w", "b")[: 1 + (number >= 4)], "float32(3,)")
        calls = step_calls(100 + 50 * (number >= 5))
        facts = {"warnings": warned, "tree": tree, "calls": calls}
        subjects = Subject("nnx", "nnx", **facts), Subject("nnx.RNN", "nnx", **facts), Subject("pure", "pure", **facts)
        leave(Path(words[-1]), *subjects)
        return ""

    monkeypatch.setattr(bisect, "run_trigru", run)


def bisected(folder, *more):
    return call("bisect", "jax==0.1.0", "jax==0.6.0", *more, "-o", str(folder))


def test_after_a_bisect_by_a_fact_what_changed_between_the_neighbours_is_shown(tmp_path, monkeypatch, snapshots):
    monkeypatch.setattr(bisect, "Environments", lambda python, more: Made())
    code, out, err = bisected(tmp_path, "--fact", "tree", "--port", "nnx")
    assert code == 0, err
    assert out.startswith("It changed with jax 0.3.0 -> 0.4.0.\n4 version sets were judged")
    assert "tree: has other leaves (2 changes, FAILED)" in out
    assert {line.split()[0] for line in out.splitlines() if line.startswith(("nnx", "pure"))} == {"nnx", "nnx.RNN"}
    for other in ("warns anew", "lines", "costs less"):
        assert other not in out
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == ["as before", "changed", "as before", "changed"]


def test_what_does_not_install_is_said_and_passed_over(tmp_path, monkeypatch, snapshots):
    monkeypatch.setattr(bisect, "Environments", lambda python, more: Made({"jax==0.3.0": True}))
    code, out, err = bisected(tmp_path, "--fact", "tree")
    assert code == 0, err
    assert out.startswith("It changed with jax 0.2.0 -> 0.4.0.")
    assert "1 could not be judged: jax==0.3.0" in out
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err
    assert "pure" in out, "without --port all are looked at"
    judge = bisect._by_command(["true"], Made({"jax==0.1.0": True}))
    assert judge(read_set("jax==0.1.0")) is None


def test_a_bisect_by_a_fact_asks_for_no_more_than_it_needs(tmp_path, monkeypatch):
    seen = []
    for name in ("bisect", "show", "show_lines", "_answer", "change_tables", "_by_fact", "_told"):
        monkeypatch.setattr(bisect, name, lambda *_, **__: SimpleNamespace(good=None, bad=None))
    monkeypatch.setattr(bisect, "Environments", lambda *given: SimpleNamespace(given=given, releases=None))
    monkeypatch.setattr(bisect, "_Snapshots", lambda *given, **how: seen.append((*given, how)) or SimpleNamespace(
        changes=lambda *_: None
    ))  # fmt: skip
    how = {"ports": ["nnx"], "command": (), "python": "3.11", "more": ["x"], "folder": tmp_path}
    facts = [kind for kind in KINDS if kind not in ("better", "slower")]
    for fact in facts:
        bisect.find("jax==0.1.0", "jax==0.2.0", fact=fact, **how)
    assert [(made.given, *more[:2]) for made, *more in seen] == [(("3.11", ["x"]), tmp_path, ["nnx"])] * len(facts)
    assert [fact for fact, given in zip(facts, seen, strict=True) if given[3]["proven"]] == ["broken", "function"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fact", "better"), "unknown fact 'better'"),
        (("--fact", "slower"), "unknown fact 'slower'"),
        (("--fact", "tree", "--", "true"), "and not both"),
        (("--fact", "tree", "--port", "keras"), "unknown port 'keras'"),
    ],
)
def test_what_cannot_be_bisected_is_refused(tmp_path, words, said):
    code, out, err = call("bisect", "-o", str(tmp_path), "jax==0.1.0", "jax==0.6.0", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_command_may_take_an_hour_in_the_environment(monkeypatch):
    seen = []
    monkeypatch.setattr(bisect, "run_in", lambda *given: seen.append(given) or (0, ""))
    assert bisect._by_command(["make", "test"], Made())(read_set("jax==0.1.0")) is True
    assert seen == [(["env", "VERSION_SET=jax==0.1.0", "make", "test"], 3600.0)]


# matrix and snapshot


@pytest.mark.parametrize("equality", [False, True])
@pytest.mark.parametrize("reason", ["", "it broke"])
def test_a_matrix_asks_for_what_it_is_told_to_and_writes_its_files(tmp_path, monkeypatch, capsys, equality, reason):
    asked, shown = [], []
    rows = [Row("jax==0.1.0", [], "", versions={"jax": "0.1.0"}), Row("jax==0.2.0", [], "", reason=reason)]

    def fill(*given, **how):
        asked.append((*given, how))
        return Matrix(2, ["trigru", "matrix", "all"], "2026-11-27T01:02:03", "A CPU", rows)

    monkeypatch.setattr(matrix, "fill", fill)
    monkeypatch.setattr(matrix, "Environments", lambda python: f"environments of {python}")
    monkeypatch.setattr(matrix, "show", lambda sections, details: shown.append(details))
    how = {"python": "3.11", "ports": ["nnx", "pure"], "equality": equality, "details": equality}
    with pytest.raises(typer.Exit) if reason else nullcontext() as left:
        matrix.matrix([read_set("jax==0.1.0")], tmp_path, **how)
    assert not reason or left.value.exit_code == 1
    ((sets, folder, environments, told),) = asked
    assert ([of.name for of in sets], folder, environments) == (["jax==0.1.0"], tmp_path, "environments of 3.11")
    assert told["arguments"] == ["--port=nnx", "--port=pure", *(["--no-equality"] * (not equality))]
    assert shown == [equality]
    written = capsys.readouterr().err.partition("written: ")[2].strip().split(", ")
    assert written[:3] == [str(tmp_path / name) for name in ("matrix.json", "matrix.md", "matrix.html")]
    for name in ("matrix.md", "matrix.html"):
        assert "2026-11-27T01:02:03, A CPU: trigru matrix all" in (tmp_path / name).read_text()


@pytest.mark.parametrize("equality", [True, False, [EQUAL]])
def test_a_snapshot_is_of_the_ports_and_the_proof_that_it_is_told(tmp_path, monkeypatch, capsys, equality):
    seen = []

    def take(names, folder, *, told, **how):
        seen.append((names, how))
        assert folder != tmp_path, "which the whole snapshot replaces"
        told(1, 2, "nnx")
        return snapshot_of(Subject("nnx", "nnx"), equality=[EQUAL] if equality else None), {"of": np.zeros(1)}

    monkeypatch.setattr(snapshot, "take", take)
    prover = Prover(keep=False)
    snapshot.snapshot(tmp_path, ["nnx", "pure"], equality=equality, prover=prover)
    assert seen == [(["nnx", "pure"], {"equality": equality, "anew": False, "prover": prover})]
    out, err = capsys.readouterr()
    without = "" if equality else ", without a proof of equality"
    assert "nnx" in out
    assert err.strip() == f"written: {tmp_path}{without}\nafter an upgrade: trigru diff {tmp_path} --now"
    assert (tmp_path / "snapshot.json").exists()
