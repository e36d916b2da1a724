"""`trigru bisect`, in environments that are made up: each has a folder of commands, and no packages."""

import json
from pathlib import Path

import pytest
from support.cli import call, invoke
from support.environments import RELEASES, Made, release_of
from support.snapshots import leave, step_calls
from trigru.bench.commands import bisect
from trigru.bench.upgrades.record import Subject
from trigru.bench.upgrades.versions import read_set
from trigru.common.errors import InputError


def judge(script, **failing):
    return bisect.by_command(["sh", "-c", script], Made(), read_set("jax==0.1.0"))


@pytest.mark.parametrize(
    ("script", "good"),
    [
        ("exit 0", True),
        ("exit 1", False),
        ("exit 124", False),
        ("exit 125", None),
        ("kill -9 $$", None),
        ("kill -15 $$", None),
        ("exit 137", None),  # as uv says of a signal
        ("[ $VERSION_SET = jax==0.1.0 ]", True),
    ],
)
def test_a_set_is_judged_by_the_exit_code_as_git_does(script, good):
    assert judge(script) is good


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_run_ends_the_search(code):
    with pytest.raises(InputError, match="the command cannot be run: no such thing"):
        judge(f"echo no such thing >&2; exit {code}")


def search(monkeypatch, folder, codes, good=RELEASES[0]):
    """By a command with an exit code for each release."""
    monkeypatch.setattr(bisect, "Environments", lambda python, more: Made())
    cases = " ".join(f"jax=={release}) exit {code};;" for release, code in zip(RELEASES, codes, strict=True))
    words = ("bisect", f"jax=={good}", f"jax=={RELEASES[-1]}", "-o", str(folder), "--", "sh", "-c")
    return (*words, f"case $VERSION_SET in {cases} esac")


@pytest.mark.parametrize(
    ("codes", "moved", "skipped"),
    [
        ((0, 0, 0, 1, 1, 1), "jax 0.3.0 -> 0.4.0", []),
        ((0, 1, 1, 1, 1, 1), "jax 0.1.0 -> 0.2.0", []),
        ((0, 0, 0, 0, 0, 3), "jax 0.5.0 -> 0.6.0", []),
        ((0, 0, 125, 1, 1, 1), "jax 0.2.0 -> 0.4.0", ["1 could not be judged: jax==0.3.0"]),
    ],
)
def test_the_neighbouring_releases_are_named(monkeypatch, tmp_path, codes, moved, skipped):
    found = invoke(*search(monkeypatch, tmp_path, codes))
    assert found.exit_code == 0, found.output
    first, second, *more = [line for line in found.stdout.splitlines() if line]
    assert first == f"It changed with {moved}."
    assert second.endswith("version sets were judged, by the exit codes of sh.")
    assert more == skipped


@pytest.mark.parametrize(
    ("codes", "said"),
    [((1, 1, 1, 1, 1, 1), "jax==0.1.0 is not good"), ((0, 0, 0, 0, 0, 0), "jax==0.6.0 is as GOOD is")],
)
def test_where_nothing_changed_nothing_is_named(monkeypatch, tmp_path, codes, said):
    code, out, err = call(*search(monkeypatch, tmp_path, codes))
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("last", "code", "head"), [(1, 0, "It changed with jax 0.5.0 -> 0.6.0."), (125, 125, "jax==0.6.0")]
)
def test_the_answer_is_printed_for_machines_too(monkeypatch, tmp_path, last, code, head):
    words = search(monkeypatch, tmp_path, (0, 0, 0, 0, 0, last))
    done, out, _ = call(*words[:3], "--format", "json", *words[3:])
    assert done == code
    content = json.loads(out)
    assert content["head"][0].startswith(head)
    assert content["passed"] is (code == 0)


@pytest.mark.parametrize(("fact", "proof"), [("calls", ["--no-equality"]), ("broken", []), ("function", [])])
def test_a_fact_is_asked_of_snapshots_each_taken_once(monkeypatch, tmp_path, fact, proof):
    """From 0.4.0 on, NNX runs more lines, and plain JAX from 0.2.0 on, which is not asked about."""
    taken, made_of = [], Made({"jax==0.3.0": True})

    def run(made, arguments):
        number = release_of(made)
        taken.append((number, arguments[:-2]))
        lines = {"pure": 100 + 50 * (number >= 2), "nnx": 100 + 50 * (number >= 4)}
        tree = {"w": f"float{16 if number >= 5 else 32}(3,)"}
        leave(Path(arguments[-1]), *(Subject(port, port, calls=step_calls(n), tree=tree) for port, n in lines.items()))
        return ""

    monkeypatch.setattr(bisect, "Environments", lambda python, more: made_of)
    monkeypatch.setattr(bisect, "run_trigru", run)
    words = ("bisect", f"jax=={RELEASES[0]}", f"jax=={RELEASES[-1]}", "-o", str(tmp_path / "kept"), "--fact")
    code, out, err = call(*words, fact, "--port", "nnx")
    assert {tuple(arguments) for _, arguments in taken} == {("snapshot", "--port=nnx", *proof)}
    assert len({number for number, _ in taken}) == len(taken)
    if fact != "calls":
        assert (code, out) == (2, ""), "nothing of that kind changed"
        assert "is as GOOD is" in err
        return
    assert code == 0, err
    assert out.startswith("It changed with jax 0.2.0 -> 0.4.0.\n")
    assert "by a count or bits, which are exact.\n1 could not be judged: jax==0.3.0\n" in out
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err
    assert "pure" not in out
    once = len(taken)
    assert call(*words, fact, "--port", "nnx")[1] == out
    assert len(taken) == once, "what is kept is not taken again"
    _, of_all, _ = call(*words, "tree")
    assert "tree: pure, nnx: leaf w: float16(3,), was float32(3,)" in of_all, "without --port all are looked at"
