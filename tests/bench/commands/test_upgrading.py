"""Which snapshots `trigru diff`, `bisect`, `matrix` and `snapshot` take, read and compare, and in which order."""

import json
from pathlib import Path

import msgspec
import pytest
from support.cli import call, invoke
from support.environments import Made, release_of
from support.runs import MACHINE, draw_run, save
from support.snapshots import leave, snapshot_of, step_calls
from trigru.bench.commands import bisect
from trigru.bench.commands import diff as command
from trigru.bench.commands.diff import read_kinds
from trigru.bench.upgrades.changes import FAILING, KINDS, Change
from trigru.bench.upgrades.files import load
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
    monkeypatch.setattr(command, "unread", lambda of: read.append(of) or [])
    found = invoke("diff", str(old), str(new))
    assert read == [load(old)]
    assert "Versions: jax 0.5.0 -> 0.6.0." in found.stdout
    assert "calls: pure: train_step jit adam float32: 200 lines, was 100 lines" in found.stdout


def test_a_checkpoint_that_is_not_read_any_more_fails(write, monkeypatch):
    place = str(write("old", Subject("pure", "pure")))
    monkeypatch.setattr(command, "unread", lambda *_: [Change("checkpoints", "pure", "reading a.npz", "reads", "no")])
    found = invoke("diff", place, place)
    assert (found.exit_code, "reading a.npz" in found.stdout) == (1, True)
    assert found.stdout.startswith("FAILED: checkpoints 1.\n")
    assert invoke("diff", place, place, "--fail-on", "draws").exit_code == 0


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
    with pytest.raises(UnknownNameError, match="tree, arguments, .*program, all, none"):
        read_kinds("better")


WHAT_IS_COMPARED = {"ss": "s", "rr": "r", "bb": "sr", "br": "r", "rb": "r", "sb": "s", "bs": "s", "sr": "", "rs": ""}


@pytest.mark.parametrize("holds", WHAT_IS_COMPARED)
def test_what_two_folders_both_hold_is_compared(write, tmp_path, holds):
    """A folder holds a snapshot, a run or both."""
    places = [tmp_path / name for name in ("old", "new")]
    for place, held in zip(places, holds, strict=True):
        write(place.name, Subject("pure", "pure")) if held in "sb" else place.mkdir()
        if held in "rb":
            save(draw_run(1, groups=("tiny/forward",), processes=2, rounds=3), place / "results.json")
    done = invoke("diff", *map(str, places))
    said = [name for name, text in (("s", "Nothing changed."), ("r", "No change of equality")) if text in done.stdout]
    compared = WHAT_IS_COMPARED[holds]
    assert said == [*compared]
    page = invoke("diff", *map(str, places), "--output", str(tmp_path / "to"))
    assert isinstance(page.exception, InputError) == ("r" not in compared)


def test_snapshots_that_do_not_compare_are_exit_code_125(write):
    code, _, err = call("diff", *(str(write(name, Subject(name, name))) for name in ("pure", "mine")))
    assert (code, "no port in common" in err) == (125, True)


def test_changes_are_printed_for_machines_too(write):
    old, new = (str(write(f"{lines}", Subject("pure", "pure", calls=step_calls(lines)))) for lines in (100, 200))
    done = invoke("diff", old, new, "--format", "json")
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["kind"], finding["subject"], finding["failed"]) == ("calls", "pure", True)
    assert finding["text"] == "train_step jit adam float32: 200 lines, was 100 lines"


def test_now_is_of_the_frameworks_that_a_snapshot_has():
    with pytest.raises(InputError, match="OLD is of mine, and of no port"):
        command._take_now(Path("x"), snapshot_of(Subject("mine", "mine")), ())


@pytest.mark.parametrize("file", ["/tmp/evil.py", "../evil.py", "link/evil.py"])
def test_a_file_elsewhere_is_not_run_because_a_snapshot_names_it(tmp_path, monkeypatch, file):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("link").symlink_to(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    for subjects in ([Subject("model", file)], [Subject("model", "mine.py"), Subject("model", file)]):
        with pytest.raises(InputError, match="is not run since OLD says so"):
            command._take_now(Path("x"), snapshot_of(*subjects), ())


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


def test_what_does_not_install_is_said_and_passed_over(tmp_path, monkeypatch, snapshots):
    monkeypatch.setattr(bisect, "Environments", lambda python, more: Made({"jax==0.3.0": True}))
    code, out, err = bisected(tmp_path, "--fact", "tree")
    assert code == 0, err
    assert out.startswith("It changed with jax 0.2.0 -> 0.4.0.")
    assert "1 could not be judged: jax==0.3.0" in out
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err
    assert "FAILED: tree 3" in out, "without --port all are looked at"
    assert "tree: nnx, nnx.RNN and 1 more: leaves: b" in out
    assert not any(other in out for other in ("warns anew", "lines", "costs less"))
    assert bisect.by_command(["true"], Made({"jax==0.1.0": True}), read_set("jax==0.1.0")) is None


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


# matrix and snapshot
