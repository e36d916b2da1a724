"""`trigru snapshot`, and `trigru diff` of snapshots, with their exit codes."""

import sys

import numpy as np
import pytest
from support.cli import call, invoke
from support.snapshots import leave, snapshot_of
from trigru.bench.commands import snapshot as command
from trigru.bench.upgrades import files
from trigru.bench.upgrades.files import load, name_of
from trigru.bench.upgrades.record import Subject
from trigru.common.equality.measurement import Measurement

ARRAYS = np.arange(3.0), np.arange(3.0) + 1


@pytest.fixture
def folders(tmp_path):
    """Writes a snapshot of linen with these facts."""

    def write(name, **facts):
        arrays = {name_of(array): array for array in ARRAYS}
        leave(tmp_path / name, Subject("linen", "linen", **facts), arrays=arrays)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Two snapshots of plain JAX, without equality."""
    folder = tmp_path_factory.mktemp("taken")
    said = [invoke("snapshot", "--port", "pure", "--no-equality", "-o", str(folder / name)) for name in ("a", "b")]
    assert [done.exit_code for done in said] == [0, 0], said[0].output
    return folder, said


def test_two_snapshots_of_one_environment_do_not_differ(taken):
    folder, _ = taken
    done = invoke("diff", str(folder / "a"), str(folder / "b"), "--fail-on", "all")
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing changed.\nBoth are of the same versions.")


def test_a_snapshot_says_what_it_holds(taken):
    folder, (said, _) = taken
    assert "What the snapshot holds" in said.stdout
    assert [line.split()[0] for line in said.stdout.splitlines() if line.startswith("pure")] == ["pure", "pure:fused"]
    snapshot, arrays = load(folder / "a")
    assert all(not subject.problems and subject.values and subject.calls for subject in snapshot.subjects)
    assert set(arrays) >= {a for s in snapshot.subjects for names in s.values.values() for a in names.values()}
    assert sum(path.stat().st_size for path in (folder / "a").rglob("*") if path.is_file()) < 2_000_000


def test_it_holds_what_two_devices_exchange(taken):
    folder, _ = taken
    snapshot, _ = load(folder / "a")
    exchanged = {
        (s.name, call.split()[-4]): program["exchange"]
        for s in snapshot.subjects
        for call, program in s.programs.items()
        if call.endswith("on two devices")
    }
    assert set(exchanged) == {("pure", way) for way in ("placed", "shard_map")}
    assert all("all-reduce" in said for said in exchanged.values())
    assert {key for key, said in exchanged.items() if "in a loop" in said} == {("pure", "placed")}


def test_what_is_installed_does_not_differ_from_its_snapshot(taken):
    folder, _ = taken
    done = invoke("diff", str(folder / "a"), "--now", "--fail-on", "all")
    assert done.exit_code == 0, done.output
    assert "Nothing changed." in done.stdout


def test_a_change_of_a_kind_that_fails(folders):
    drawn = [{"gru": {".w of key 0": name_of(array)}} for array in ARRAYS]
    old, new = (folders(name, draws=draws) for name, draws in zip(("old", "new"), drawn, strict=True))
    done = invoke("diff", old, new)
    assert done.exit_code == 1
    assert done.stdout.startswith("FAILED: draws 1.\n")
    assert invoke("diff", old, new, "--fail-on", "broken,function").exit_code == 0
    assert invoke("diff", old, new, "--fail-on", "none").exit_code == 0


def test_many_changes_are_counted_and_with_details_listed(folders):
    trees = [{f".leaf{n}": f"float{k}({n},)" for n in range(30)} for k in (16, 32)]
    old, new = (folders(f"f{k}", tree=trees[k]) for k in (0, 1))
    short, long = (invoke("diff", old, new, *more).stdout for more in ((), ("--details",)))
    assert "16 more like these: --details lists all." in short
    assert len(short.splitlines()) <= 20
    assert long.count("float32(") >= 30


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("diff", "{old}"), "pass NEW, or --now"),
        (("diff", "{old}", "{old}", "--now"), "pass NEW, or --now"),
        (("diff", "absent", "--now"), "has no snapshot"),
        (("diff", "{old}", "--now", "--output", "page"), "a page of two runs"),
        (("diff", "{old}", "{old}", "--output", "page"), "a page of two runs"),
        (("diff", "{old}", "{old}", "--fail-on", "everything"), "everything"),
        (("diff", "{old}", "absent"), "No such file"),
        (("snapshot", "--port", "nothing"), "nothing"),
        (("snapshot", "-o", "{work}/mine"), "expected a folder"),
        (("matrix",), "name a version set"),
        (("matrix", "jax"), "names no version"),
        (("matrix", "2025-01-01", "2025-01-01"), "named twice"),
        (("bisect", "2025-01-01", "jax==0.5.0", "--fact", "draws"), "both days, or both versions"),
        (("bisect", "2025-01-01", "2025-02-01"), "pass --fact, or a command"),
        (("bisect", "2025-01-01", "2025-02-01", "--fact", "colour"), "colour"),
    ],
)
def test_bad_input_is_a_sentence(folders, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mine").write_text("")
    places = {"old": folders("old"), "work": str(tmp_path / "work")}
    code, out, err = call(*(argument.format(**places) for argument in arguments))
    assert code == 2, err
    assert said in " ".join(err.split())
    assert "Traceback" not in out + err


def test_another_schema_is_refused(folders, monkeypatch):
    old, new = folders("old"), folders("new")
    monkeypatch.setattr(files, "SCHEMA", 7)
    code, _, err = call("diff", old, new)
    assert (code, "schema 5, expected 7" in err) == (2, True)


MINE = """
import jax.numpy as jnp
import numpy as np
from trigru.parity import Model

x = np.linspace(-1, 1, 12, dtype="f4").reshape(4, 3)
reference = Model({{"w": np.linspace(0, 1, 6, dtype="f4").reshape(3, 2)}}, lambda p, x: jnp.tanh(x @ p["w"]) {more})
"""


def test_a_model_of_a_file_is_told_by_the_line_that_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE.format(more=""))
    assert invoke("snapshot", "mine.py").exit_code == 0
    monkeypatch.delitem(sys.modules, "trigru_port_mine")
    (tmp_path / "mine.py").write_text(MINE.format(more="* 2"))
    done = invoke("diff", "snapshot", "--now")
    assert done.exit_code == 1, done.stderr
    assert "function: model: call in float64: result: 2 times as large" in done.stdout
    assert "before: mine.py:7 (mul of shape 4x2)" in done.stdout
    assert invoke("snapshot", "mine.py", "--port", "pure").exit_code == 2


def test_what_is_not_offered_is_no_failure(tmp_path, capsys):
    missing = Measurement("nnx", "hvp", None, "call", "float64", None, 0.0, "not offered: by this flax")
    wrong = Measurement("nnx", "forward", None, "carry", "float64", 1.0, 1e-12)
    command.tell(tmp_path / "s", snapshot_of(equality=[missing, wrong]))
    assert "1 of 2 measurements of equality failed: " in capsys.readouterr().err
