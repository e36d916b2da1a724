"""The search for a release: on histories that are made up, and by `trigru bisect` in environments without packages."""

import json
from datetime import date, timedelta

import pytest
from support.cli import call, invoke
from support.snapshots import RELEASES as MADE_UP
from support.snapshots import Made, leave, release_of, step_calls
from trigru.bench.commands import bisect as command
from trigru.bench.upgrades.environments import Environment, VersionSet, read_set
from trigru.bench.upgrades.record import Subject
from trigru.common.errors import InputError, TrigruError, UnjudgedError

START = date(2025, 1, 1)
JAX = {0: "0.4.37", 9: "0.4.38", 17: "0.5.0", 30: "0.5.1"}
FLAX = {0: "0.10.1", 5: "0.10.2", 17: "0.10.3"}
RELEASES = {"jax": list(JAX.values()), "flax": list(FLAX.values())}


class World:
    def __init__(self, changed, broken=()):
        self.changed, self.broken, self.judged = changed, set(broken), []

    def resolve(self, of):
        if of.day is None:
            versions = dict(requirement.split("==") for requirement in of.requirements)
            assert "rich" not in versions, "no other package is pinned"
            assert versions["jax"] == versions.get("jaxlib", versions["jax"]), (
                "jax and jaxlib are never apart"
            )
            return versions
        past = (of.day - START).days
        newest = {"jax": JAX, "flax": FLAX}
        found = {
            name: max((d, v) for d, v in line.items() if d <= past)[1]
            for name, line in newest.items()
        }
        return {**found, "jaxlib": found["jax"], "rich": of.name}

    def judge(self, of):
        self.judged.append(of.name)
        versions = self.resolve(of)
        if set(versions.items()) & self.broken:
            return None
        name, number = self.changed
        return RELEASES[name].index(versions[name]) < RELEASES[name].index(number)

    def search(self, good=0, bad=40):
        sets = [
            VersionSet(
                (START + timedelta(days=n)).isoformat(), (), START + timedelta(days=n)
            )
            for n in (good, bad)
        ]
        return command.search(*sets, self.judge, self.resolve, RELEASES.__getitem__)


def between(changed):
    name, number = changed
    before = RELEASES[name][RELEASES[name].index(number) - 1]
    return dict.fromkeys(
        ("jax", "jaxlib") if name == "jax" else (name,), (before, number)
    )


@pytest.mark.parametrize(
    "changed",
    [(name, number) for name, numbers in RELEASES.items() for number in numbers[1:]],
)
def test_the_release_is_named_by_days_and_by_versions(changed):
    world = World(changed)
    assert world.search().moved == between(changed), "two releases came on one day"
    assert len(world.judged) == len(set(world.judged)) <= 12
    good = VersionSet(
        "old",
        (
            "jax==0.4.37",
            "jaxlib==0.4.37",
            "flax==0.10.1",
            "equinox==0.11",
            "optax==0.1",
        ),
    )
    bad = VersionSet(
        "new",
        ("jax==0.5.1", "jaxlib==0.5.1", "flax==0.10.3", "equinox==0.12", "optax==0.2"),
    )
    assert command.search(
        good, bad, world.judge, world.resolve, RELEASES.__getitem__
    ).moved == between(changed)


def test_what_cannot_be_judged_is_gone_around_and_told():
    for changed, broken, days, named in (
        ("0.5.0", "0.4.38", (0, 40), ("0.4.37", "0.5.0")),
        ("0.5.1", "0.4.38", (0, 40), ("0.5.0", "0.5.1")),
        ("0.4.38", "0.5.0", (5, 30), ("0.4.37", "0.4.38")),  # all later days
    ):
        world = World(("jax", changed), broken=[("jax", broken)])
        result = world.search(*days)
        assert result.moved["jax"] == named
        assert set(result.skipped) <= set(world.judged)
        assert bool(result.skipped) >= (changed != "0.5.1")
        assert result.judged == len(world.judged)


def test_ends_that_are_alike_or_not_judged_have_no_answer():
    with pytest.raises(TrigruError, match="is as GOOD is") as alike:
        World(("jax", "0.5.1")).search(0, 20)
    with pytest.raises(TrigruError, match="is not good") as bad:
        World(("jax", "0.4.38")).search(10, 40)
    assert alike.type is bad.type is TrigruError, (
        "which exits with 1 or 2, and is not passed over as UnjudgedError is"
    )
    with pytest.raises(UnjudgedError, match="cannot be judged"):
        World(("jax", "0.5.0"), broken=[("flax", "0.10.3")]).search()


def test_a_package_that_comes_or_whose_releases_are_not_known_is_named_as_it_is():
    good = ("jax==1",)
    for bad, releases, changed in (
        (("jax==1", "chex==2"), ["1", "2"], {"chex": ("none", "2")}),
        (("jax==3",), ["1", "2"], {"jax": ("1", "3")}),
        (("jax==3",), ["2", "3"], {"jax": ("1", "3")}),
        (("jax==3",), ["1", "2", "3"], {"jax": ("1", "2")}),
    ):
        sets, resolve = (
            (VersionSet("a", good), VersionSet("b", bad)),
            World(("jax", "0.5.0")).resolve,
        )
        found = command.search(
            *sets,
            lambda of: of.requirements == good,
            resolve,
            lambda name, of=releases: of,
        )
        assert found.moved == changed


def test_what_changed_with_no_framework_is_said():
    world = World(("jax", "0.5.1"))
    sets = [
        VersionSet(day.isoformat(), (), day)
        for day in (START + timedelta(days=n) for n in (1, 4))
    ]
    with pytest.raises(TrigruError, match="none of the frameworks moved"):
        command.search(
            *sets,
            lambda of: bool(of.day) and of.day < sets[1].day,
            world.resolve,
            RELEASES.__getitem__,
        )


# The command


def judge(script):
    return command.by_command(["sh", "-c", script], Made(), read_set("jax==0.1.0"))


@pytest.mark.parametrize(
    ("script", "verdict"),
    [  # 137 is what uv says of a signal
        ("exit 0", True),
        ("exit 1", False),
        ("exit 125", None),
        ("kill -9 $$", None),
        ("exit 137", None),
        ("exit 128", False),
        ("exit 129", None),
        ("[ $VERSION_SET = jax==0.1.0 ]", True),
    ],
)
def test_a_set_is_judged_by_the_exit_code_as_git_does(script, verdict):
    assert judge(script) is verdict


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_run_ends_the_search(code):
    with pytest.raises(InputError, match="the command cannot be run: no such thing"):
        judge(f"echo no such thing >&2; exit {code}")


def search(monkeypatch, folder, codes, failing=None):
    """By a command with an exit code for each release, some of which do not install."""
    made_of = Made(failing)
    monkeypatch.setattr(
        command,
        "Environments",
        lambda *of: made_of if of == ("3.12", ["mine==1"]) else None,
    )
    cases = " ".join(
        f"jax=={release}) exit {code};;"
        for release, code in zip(MADE_UP, codes, strict=True)
    )
    words = ("bisect", f"jax=={MADE_UP[0]}", f"jax=={MADE_UP[-1]}", "-o", str(folder))
    words = (*words, "--python", "3.12", "--with", "mine==1", "--", "sh", "-c")
    return (
        *words,
        f"case $VERSION_SET in {cases} esac",
        "--json",
    )  # an option of the command, not of trigru


def test_the_neighbouring_releases_are_named_in_lines_and_for_machines(
    monkeypatch, tmp_path
):
    found = invoke(
        *search(monkeypatch, tmp_path, (0, 0, 0, 1, 1, 1), {"jax==0.3.0": True})
    )
    assert found.exit_code == 0, found.output
    first, second, third = [line for line in found.stdout.splitlines() if line]
    assert first == "It changed with jax 0.2.0 -> 0.4.0."
    assert second.endswith("version sets were judged, by the exit codes of sh.")
    assert third == "1 could not be judged: jax==0.3.0"
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in found.stderr
    for last, code in ((1, 0), (125, 125), (0, 2)):
        words = search(monkeypatch, tmp_path, (0, 0, 0, 0, 0, last))
        done, out, _ = call(*words[:3], "--format", "json", *words[3:])
        assert done == code
        assert out == "" if code == 2 else json.loads(out)["passed"] is (code == 0)


@pytest.mark.parametrize(
    ("fact", "proof"), [("calls", ["--no-equality"]), ("broken", []), ("function", [])]
)
def test_a_fact_is_asked_of_snapshots_each_taken_once(
    monkeypatch, tmp_path, fact, proof
):
    """From 0.4.0 on, NNX runs more lines, and plain JAX from 0.2.0 on, which is not asked about."""
    taken, made_of = [], Made({"jax==0.3.0": True})

    def snapshot(made, folder, arguments):
        number = release_of(made)
        taken.append((number, arguments))
        lines = {"pure": 100 + 50 * (number >= 2), "nnx": 100 + 50 * (number >= 4)}
        tree = {"w": f"float{16 if number >= 5 else 32}(3,)"}
        leave(
            folder,
            *(
                Subject(port, port, calls=step_calls(n), tree=tree)
                for port, n in lines.items()
            ),
        )

    monkeypatch.setattr(command, "Environments", lambda python, more: made_of)
    monkeypatch.setattr(Environment, "snapshot", snapshot)
    words = (
        "bisect",
        f"jax=={MADE_UP[0]}",
        f"jax=={MADE_UP[-1]}",
        "-o",
        str(tmp_path / "kept"),
        "--fact",
    )
    code, out, err = call(*words, fact, "--port", "nnx")
    assert {tuple(arguments) for _, arguments in taken} == {("--port=nnx", *proof)}
    assert len({number for number, _ in taken}) == len(taken)
    if fact != "calls":
        assert (code, out) == (2, ""), "nothing of that kind changed"
        assert "is as GOOD is" in err
        return
    assert code == 0, err
    assert out.startswith("It changed with jax 0.2.0 -> 0.4.0.\n")
    assert (
        "by a count or bits, which are exact.\n1 could not be judged: jax==0.3.0\n"
        in out
    )
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err
    assert "pure" not in out
    once = len(taken)
    assert call(*words, fact, "--port", "nnx")[1] == out
    assert len(taken) == once, "what is kept is not taken again"
    _, of_all, _ = call(*words, "tree")
    assert "tree: pure, nnx: leaf w: float16(3,), was float32(3,)" in of_all, (
        "without --port all are looked at"
    )
