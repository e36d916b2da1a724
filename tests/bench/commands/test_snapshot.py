"""`trigru snapshot`, and `trigru diff` of snapshots, with their exit codes."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support.cli import call, invoke
from support.runs import MACHINE, draw_run, save, with_machine
from support.snapshots import (
    STEP,
    MadeUp,
    leave,
    machine_with,
    snapshot_of,
    stepping,
)
from trigru.bench.upgrades.diff import read_kinds, take_now, take_with_candidates
from trigru.bench.upgrades.environments import EnvironmentFailedError
from trigru.bench.upgrades.record import FACTS, FAILING, Observation, Subject
from trigru.bench.upgrades.snapshot_file import ArrayStore, load
from trigru.common.errors import InputError, UnjudgedError

MINE = """
import jax.numpy as jnp
import numpy as np
from trigru.parity import Model

def apply(params, x):
    return jnp.tanh(x @ params["w"]) {more}

x = np.linspace(-1, 1, 12, dtype="f4").reshape(4, 3)
reference = Model({{"w": np.linspace(0, 1, 6, dtype="f4").reshape(3, 2)}}, apply)
"""


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """The folder of a snapshot of plain JAX, and what was printed."""
    folder = tmp_path_factory.mktemp("taken")
    done = invoke("snapshot", "--port", "pure", "-o", str(folder))
    assert done.exit_code == 0, done.output
    return folder, done.stdout


def test_a_snapshot_says_what_it_holds(taken):
    folder, printed = taken
    assert "What the snapshot holds" in printed
    lines = [line for line in printed.splitlines() if line.startswith("pure")]
    assert [line.split()[0] for line in lines] == ["pure", "pure:fused"]

    snapshot = load(folder).snapshot
    assert [subject.problems for subject in snapshot.subjects] == [{}, {}, {}]
    pure = snapshot.subjects[0]
    assert pure.styles
    assert pure.observations["gru"].draws
    forward = pure.observations["forward"]
    assert forward.exact_results
    trail = forward.trail.lines
    assert any(line.startswith("trigru/impls/pure.py:") for line in trail)
    costs = [seen.cost for seen in pure.observations.values() if seen.cost]
    assert all(cost.lines for cost in costs)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 3_500_000


def test_snapshots_of_what_is_installed_do_not_differ(taken):
    folder, _ = taken
    done = invoke("diff", str(folder), "--now", "--fail-on", "all")
    assert done.exit_code == 0, done.output
    same = "Nothing changed.\nBoth are of the same versions."
    assert done.stdout.startswith(same)


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        ([], 1),
        (["--fail-on", "broken,function"], 0),
        (["--fail-on", "none"], 0),
    ],
)
def test_a_change_of_a_kind_that_fails_is_exit_code_1(tmp_path, options, exit_code):
    for name, first in (("old", 0.0), ("new", 1.0)):
        store = ArrayStore()
        draws = store.keep_all({".w": np.arange(3.0) + first})
        linen = Subject("linen", "linen", observations={"gru": Observation(draws)})
        leave(tmp_path / name, linen, arrays=store)
    done = invoke("diff", str(tmp_path / "old"), str(tmp_path / "new"), *options)
    assert done.exit_code == exit_code
    assert done.stdout.startswith("FAILED: draws 1.\n") == (exit_code == 1)


def test_many_changes_are_counted_and_with_details_listed(tmp_path):
    folders = []
    for bits in (16, 32):
        observations = {}
        for number in range(30):
            leaves = {"leaf": f"float{bits}({number},)"}
            observations[f"part {number}"] = Observation(leaves=leaves)
        folders.append(str(tmp_path / f"{bits}"))
        leave(Path(folders[-1]), Subject("linen", "linen", observations=observations))
    short = invoke("diff", *folders).stdout
    long = invoke("diff", *folders, "--details").stdout
    assert "(and 15 more like this: --details)" in short
    assert len(short.splitlines()) <= 20
    assert long.count("float32(") >= 30


@pytest.fixture
def upgraded(tmp_path):
    """Folders of snapshots before and after an upgrade of jax, with other code."""
    facts = {
        "old": (100, 1, "0.5.0"),
        "slower": (200, 2, "0.6.0"),
        "calm": (100, 2, "0.6.0"),
    }
    for name, (lines, checksum, jax) in facts.items():
        machine = machine_with(MACHINE.versions | {"jax": jax})
        sources = {"jax": {"jax/nn.py": checksum}}
        subject = stepping("pure", lines)
        leave(tmp_path / name, subject, machine=machine, sources=sources)
    return tmp_path


OTHER_CODE = "Other code that no change leads to: 1 file of jax (jax/nn.py)."
SLOWER = f"{STEP}: 200 lines, was 100 lines"


def test_a_diff_goes_from_old_to_new(upgraded):
    lines = invoke("diff", str(upgraded / "old"), str(upgraded / "slower")).stdout
    assert "Versions: jax 0.5.0 -> 0.6.0." in lines
    assert f"calls: pure: {SLOWER}" in lines
    assert OTHER_CODE in lines


def test_a_diff_is_printed_for_machines(upgraded):
    old, new = str(upgraded / "old"), str(upgraded / "slower")
    content = json.loads(invoke("diff", old, new, "--format", "json").stdout)
    (finding,) = content["findings"]
    assert (finding["kind"], finding["subject"]) == ("calls", "pure")
    assert finding["failed"]
    assert finding["text"] == SLOWER
    assert OTHER_CODE in content["head"]


def test_other_code_without_a_change_is_said_and_does_not_fail(upgraded):
    done = invoke("diff", str(upgraded / "old"), str(upgraded / "calm"))
    assert done.exit_code == 0
    assert done.stdout.startswith("Nothing that is checked changed.\n")


def test_snapshots_with_nothing_in_common_are_not_judged(upgraded):
    leave(upgraded / "mine", Subject("mine", "mine"))
    code, _, err = call("diff", str(upgraded / "old"), str(upgraded / "mine"))
    assert code == 125
    assert "no port in common" in err


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (None, FAILING),
        ("all", FACTS),
        ("none", ()),
        ("bits", ("bits",)),
        (" memory , draws,memory ", ("memory", "draws")),
        ("none,draws", ("draws",)),
    ],
)
def test_kinds_of_changes_are_read(text, kinds):
    assert read_kinds(text) == kinds


def hold(folder, holds):
    """Fill a folder with a snapshot ("s"), a run ("r") or both ("b")."""
    folder.mkdir()
    if holds in "sb":
        leave(folder, Subject("pure", "pure"))
    if holds in "rb":
        run = draw_run(1, groups=("tiny/forward",), processes=2, rounds=3)
        save(run, folder / "results.json")
    return str(folder)


@pytest.mark.parametrize(
    ("old", "new", "compared"),
    [
        ("s", "s", "s"),
        ("r", "r", "r"),
        ("b", "b", "sr"),
        ("b", "r", "r"),
        ("r", "b", "r"),
        ("s", "b", "s"),
        ("b", "s", "s"),
        ("s", "r", ""),
        ("r", "s", ""),
    ],
)
def test_what_two_folders_both_hold_is_compared(tmp_path, old, new, compared):
    folders = [hold(tmp_path / "old", old), hold(tmp_path / "new", new)]
    printed = invoke("diff", *folders).stdout
    assert ("Nothing changed." in printed) == ("s" in compared)
    assert ("Speed of " in printed) == ("r" in compared)


@pytest.mark.parametrize(("fail_on", "exit_code"), [("all", 1), ("none", 125)])
def test_a_failure_counts_more_than_what_cannot_be_judged(tmp_path, fail_on, exit_code):
    folders = []
    for number in range(2):
        folder = tmp_path / f"{number}"
        leave(folder, stepping("pure", 100 + 100 * number))
        run = draw_run(1, groups=("tiny/forward",), processes=2, rounds=3)
        save(with_machine(run, device=f"CPU {number}"), folder / "results.json")
        folders.append(str(folder))
    done = invoke("diff", *folders, "--fail-on", fail_on, "--format", "json")
    assert done.exit_code == exit_code
    assert json.loads(done.stdout)["passed"] is False


def test_candidates_are_looked_at_in_an_environment_of_theirs(tmp_path):
    environments = MadeUp(subjects=lambda number: [stepping("pure", 200)])
    old = snapshot_of(stepping("pure", 100))
    take_with_candidates(tmp_path, old, ["jax==0.1.0"], environments)
    assert environments.taken == [("jax==0.1.0", ["--port=pure"])]
    (pure,) = load(tmp_path).snapshot.subjects
    assert pure.observations[STEP].cost.lines == 200


def test_candidates_without_a_snapshot_are_not_judged(tmp_path):
    def fail(number):
        raise EnvironmentFailedError("it broke", lasting=False)

    old = snapshot_of(stepping("pure", 100))
    with pytest.raises(UnjudgedError, match=r"jax==0\.2\.0 has no snapshot"):
        take_with_candidates(tmp_path, old, ["jax==0.2.0"], MadeUp(subjects=fail))


@pytest.mark.parametrize("file", ["/tmp/evil.py", "../evil.py", "link/evil.py"])
@pytest.mark.parametrize("others", [[], [Subject("model", "mine.py")]])
def test_a_file_elsewhere_is_not_run_because_a_snapshot_names_it(
    tmp_path, monkeypatch, file, others
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("link").symlink_to(tmp_path)
    old = snapshot_of(*others, Subject("model", file))
    with pytest.raises(InputError, match="is not run since OLD says so"):
        take_now(Path("x"), old, read_models=pytest.fail)


def test_a_model_of_a_file_is_told_by_the_line_that_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE.format(more=""))
    assert invoke("snapshot", "mine.py").exit_code == 0
    monkeypatch.delitem(sys.modules, "trigru_port_mine")
    (tmp_path / "mine.py").write_text(MINE.format(more="* 2"))
    done = invoke("diff", "snapshot", "--now")
    assert done.exit_code == 1, done.stderr
    assert "function: model: result: 2 times as large" in done.stdout
    line = "at mine.py:7 (mul of shape 4x2); before: mine.py:7 (tanh of shape 4x2)"
    assert line in done.stdout
