"""`trigru snapshot`, and `trigru diff` of snapshots, with their exit codes."""

import json
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.cli import call, invoke
from support.runs import MACHINE, draw_run, save, with_machine
from support.snapshots import Made, leave, release_of, snapshot_of, step_calls
from trigru.bench.commands import diff, snapshot
from trigru.bench.commands.diff import UNREAD, read_kinds
from trigru.bench.upgrades import installed
from trigru.bench.upgrades.environments import Environment, EnvironmentFailedError
from trigru.bench.upgrades.record import (
    CONTENT,
    FAILING,
    KINDS,
    Change,
    Source,
    Subject,
    load,
    name_of,
)
from trigru.bench.upgrades.tables import change_lines
from trigru.common.equality.measurement import Measurement
from trigru.common.errors import InputError

ARRAYS = np.arange(3.0), np.arange(3.0) + 1
HASH = np.zeros(1, np.uint8)
MINE = """
import jax.numpy as jnp
import numpy as np
from trigru.parity import Model

x = np.linspace(-1, 1, 12, dtype="f4").reshape(4, 3)
reference = Model({{"w": np.linspace(0, 1, 6, dtype="f4").reshape(3, 2)}}, lambda p, x: jnp.tanh(x @ p["w"]) {more})
"""


@pytest.fixture
def folders(tmp_path):
    def write(name, **facts):
        arrays = {name_of(array): array for array in ARRAYS}
        leave(tmp_path / name, Subject("linen", "linen", **facts), arrays=arrays)
        return str(tmp_path / name)

    return write


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taken")
    said = [
        invoke("snapshot", "--port", "pure", "--no-equality", "-o", str(folder / name))
        for name in ("a", "b")
    ]
    assert [done.exit_code for done in said] == [0, 0], said[0].output
    return folder, said


def test_a_snapshot_says_what_it_holds(taken):
    folder, (said, _) = taken
    assert "What the snapshot holds" in said.stdout
    assert [
        line.split()[0] for line in said.stdout.splitlines() if line.startswith("pure")
    ] == ["pure", "pure:fused"]
    of, _ = load(folder / "a")
    assert all(
        not s.problems and s.values and s.calls and s.draws and s.tree and s.trails
        for s in of.subjects
    )
    pure = of.subjects[0]
    assert pure.styles
    assert any(
        line.startswith("trigru/impls/pure.py:")
        for line in pure.trails["forward"].lines
    )
    assert (
        sum(path.stat().st_size for path in (folder / "a").rglob("*") if path.is_file())
        < 3_500_000
    )


def test_snapshots_of_what_is_installed_do_not_differ(taken):
    folder, _ = taken
    for newer in (str(folder / "b"), "--now"):
        done = invoke("diff", str(folder / "a"), newer, "--fail-on", "all")
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(
            "Nothing changed.\nBoth are of the same versions."
        )


def test_a_change_of_a_kind_that_fails_and_what_is_not_offered_which_does_not(
    folders, tmp_path, capsys
):
    drawn = [{"gru": {".w of key 0": name_of(array)}} for array in ARRAYS]
    old, new = (
        folders(name, draws=draws)
        for name, draws in zip(("old", "new"), drawn, strict=True)
    )
    done = invoke("diff", old, new)
    assert done.exit_code == 1
    assert done.stdout.startswith("FAILED: draws 1.\n")
    assert invoke("diff", old, new, "--fail-on", "broken,function").exit_code == 0
    assert invoke("diff", old, new, "--fail-on", "none").exit_code == 0
    missing = Measurement(
        "nnx", "hvp", None, "call", "float64", None, 0.0, "not offered: by this flax"
    )
    wrong = Measurement("nnx", "forward", None, "carry", "float64", 1.0, 1e-12)
    snapshot.tell(tmp_path / "s", snapshot_of(equality=[missing, wrong]))
    assert "1 of 2 measurements of equality failed: " in capsys.readouterr().err


def test_parameter_files_are_read_only_by_the_packages_of_the_second_snapshot(
    tmp_path, monkeypatch
):
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "METADATA").write_text(
        "Name: odd\nVersion: 1\nRequires-Dist: jax>dev\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = np.frombuffer(b"no file of this kind", np.uint8)
    pure = Subject(
        "pure", "pure", checkpoints={".safetensors": {CONTENT: name_of(content)}}
    )
    leave(tmp_path / "old", pure, arrays={name_of(content): content})
    here = {
        "numpy": np.__version__,
        "trigru": "of another commit",
        "python": "3.0",
        "nvidia-cudnn": "9",
    }
    of_others = {
        "": "1",
        "../odd": "1",
        "a b\0": "",
        "odd": "2",
    }  # names by anybody, and invalid metadata
    read, unread = (1, "reading a file as .safetensors"), (0, UNREAD)
    cases = [
        ({}, read),
        ({"numpy": "1"}, unread),
        ({"numpy": f"{np.__version__}, of a local file"}, read),
    ]
    cases += [({name: number}, read) for name, number in of_others.items()]
    cases += [({"msgpack": number}, unread) for number in (version("msgpack"), "")]
    for other, (code, said) in cases:
        if "msgpack" in other:  # which flax requires

            def without(name):
                return distribution(name if name != "msgpack" else "not-installed")

            monkeypatch.setattr(installed, "distribution", without)
        machine = msgspec.structs.replace(MACHINE, versions=here | other)
        leave(
            tmp_path / "new", pure, arrays={name_of(content): content}, machine=machine
        )
        done = invoke("diff", str(tmp_path / "old"), str(tmp_path / "new"))
        assert (done.exit_code, said in " ".join(done.stdout.split())) == (code, True)


def test_many_changes_are_counted_and_with_details_listed(folders):
    trees = [{f".leaf{n}": f"float{k}({n},)" for n in range(30)} for k in (16, 32)]
    old, new = (folders(f"f{k}", tree=trees[k]) for k in (0, 1))
    short, long = (
        invoke("diff", old, new, *more).stdout for more in ((), ("--details",))
    )
    assert "(and 15 more like this: --details)" in short
    assert len(short.splitlines()) <= 20
    assert long.count("float32(") >= 30
    ports = [
        Change("function", name, "x" * 161, "", "", "a.py:1")
        for name in ("nnx", "nnx:fused", "pure:fused")
    ]
    assert (
        f"function: nnx, pure:fused: {'x' * 160}…: none"
        in change_lines(ports, FAILING)[2]
    )


@pytest.mark.parametrize("fail_on", [FAILING, ("bits", "tree")])
def test_each_kind_is_shown_before_a_second_change_of_one_and_first_what_fails(fail_on):
    found = [
        Change(kind, f"part {n}", "it", "", f"{n}", f"a.py:{n}")
        for n in range(9)
        for kind in KINDS
    ]
    lines = [
        line
        for line in change_lines(found, fail_on)[2:]
        if not line.startswith("    at ")
    ]
    ordered = sorted(KINDS, key=lambda kind: kind not in fail_on)
    assert [line.partition(":")[0] for line in lines] == ordered
    for text in ("more like this", "(and 8 more like this: --details)"):
        assert [text in line for line in lines] == [kind in fail_on for kind in ordered]


def test_a_diff_goes_from_old_to_new_and_is_printed_for_machines_too(tmp_path):
    for name, lines, code, jax in (
        ("old", 100, 1, "0.5.0"),
        ("new", 200, 2, "0.6.0"),
        ("calm", 100, 2, "0.6.0"),
    ):
        machine = msgspec.structs.replace(
            MACHINE, versions=MACHINE.versions | {"jax": jax}
        )
        sources, hashes = (
            {"jax": Source({"jax/nn.py": (code, 1)}, name_of(HASH))},
            {name_of(HASH): HASH},
        )
        subject = Subject("pure", "pure", calls=step_calls(lines))
        leave(tmp_path / name, subject, machine=machine, arrays=hashes, sources=sources)
    words = ("diff", str(tmp_path / "old"), str(tmp_path / "new"))
    text, content = (
        invoke(*words).stdout,
        json.loads(invoke(*words, "--format", "json").stdout),
    )
    (finding,) = content["findings"]
    assert (finding["kind"], finding["subject"], finding["failed"]) == (
        "calls",
        "pure",
        True,
    )
    assert finding["text"] == "train_step jit adam float32: 200 lines, was 100 lines"
    other = "Other code that no change leads to: 1 file of jax (jax/nn.py)."
    for line in (
        "Versions: jax 0.5.0 -> 0.6.0.",
        f"calls: pure: {finding['text']}",
        other,
    ):
        assert line in text
    assert other in content["head"]
    calm = invoke(*words[:2], str(tmp_path / "calm"))
    assert (calm.exit_code, calm.stdout.splitlines()[0]) == (
        0,
        "Nothing that is checked changed.",
    )
    leave(tmp_path / "mine", Subject("mine", "mine"))
    code, _, err = call("diff", str(tmp_path / "old"), str(tmp_path / "mine"))
    assert (code, "no port in common" in err) == (125, True)


def test_kinds_of_changes_are_read():
    kinds = {
        None: FAILING,
        "all": tuple(kind for kind in KINDS if kind != "better"),
        "none": (),
        "bits": ("bits",),
    }
    kinds |= {" memory , draws,memory ": ("memory", "draws"), "none,draws": ("draws",)}
    assert {text: read_kinds(text) for text in kinds} == kinds


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
        ("sr", ""),
        ("rs", ""),
    ],
)
def test_what_two_folders_both_hold_is_compared(tmp_path, holds, compared):
    """A folder holds a snapshot, a run or both."""
    places = [tmp_path / name for name in ("old", "new")]
    for place, held in zip(places, holds, strict=True):
        leave(place, Subject("pure", "pure")) if held in "sb" else place.mkdir()
        if held in "rb":
            save(
                draw_run(1, groups=("tiny/forward",), processes=2, rounds=3),
                place / "results.json",
            )
    done = invoke("diff", *map(str, places))
    said = [
        name
        for name, text in (("s", "Nothing changed."), ("r", "Speed: of "))
        if text in done.stdout
    ]
    assert said == [*compared]
    page = invoke("diff", *map(str, places), "--output", str(tmp_path / "to"))
    assert isinstance(page.exception, InputError) == ("r" not in compared)


def test_a_failure_counts_more_than_what_cannot_be_judged(tmp_path):
    folders = [tmp_path / name for name in ("old", "new")]
    for number, folder in enumerate(folders):
        leave(folder, Subject("pure", "pure", calls=step_calls(100 + 100 * number)))
        run = draw_run(1, groups=("tiny/forward",), processes=2, rounds=3)
        save(with_machine(run, device=f"CPU {number}"), folder / "results.json")
    for fail_on, code in (("all", 1), ("none", 125)):
        done = invoke(
            "diff", *map(str, folders), "--fail-on", fail_on, "--format", "json"
        )
        assert (done.exit_code, json.loads(done.stdout)["passed"]) == (code, False)


def test_candidates_are_compared_by_a_snapshot_of_theirs_or_not_judged(
    tmp_path, monkeypatch
):
    taken = []

    def snapshot(made, folder, arguments):
        taken.append(arguments)
        if release_of(made) == 2:
            raise EnvironmentFailedError("it broke", lasting=False)
        leave(folder, Subject("pure", "pure", calls=step_calls(200)))

    monkeypatch.setattr(diff, "Environments", Made)
    monkeypatch.setattr(Environment, "snapshot", snapshot)
    leave(tmp_path, Subject("pure", "pure", calls=step_calls(100)))
    for release, left, said in (
        (1, 1, "200 lines, was 100 lines"),
        (2, 125, "jax==0.2.0 has no snapshot, so that"),
    ):
        code, out, err = call(
            "diff", str(tmp_path), "--now", "--with", f"jax==0.{release}.0"
        )
        assert (code, said in out + err) == (left, True), out + err
    assert taken == [["--port=pure", "--no-equality"]] * 2


@pytest.mark.parametrize("file", ["/tmp/evil.py", "../evil.py", "link/evil.py"])
def test_a_file_elsewhere_is_not_run_because_a_snapshot_names_it(
    tmp_path, monkeypatch, file
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("link").symlink_to(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('it ran')")
    for subjects in (
        [Subject("model", file)],
        [Subject("model", "mine.py"), Subject("model", file)],
    ):
        with pytest.raises(InputError, match="is not run since OLD says so"):
            diff._take_now(Path("x"), snapshot_of(*subjects), ())


def test_a_model_of_a_file_is_told_by_the_line_that_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE.format(more=""))
    assert invoke("snapshot", "mine.py").exit_code == 0
    monkeypatch.delitem(sys.modules, "trigru_port_mine")
    (tmp_path / "mine.py").write_text(MINE.format(more="* 2"))
    done = invoke("diff", "snapshot", "--now")
    assert done.exit_code == 1, done.stderr
    assert "function: model: call in float64: result: 2 times as large" in done.stdout
    assert (
        "at mine.py:7 (mul of shape 4x2); before: mine.py:7 (tanh of shape 4x2)"
        in done.stdout
    )
