"""The search for a release: on histories that are made up, and by `trigru bisect` in
environments without packages.
"""

import json
from datetime import date, timedelta

import pytest
from support.snapshots import RELEASES as MADE_UP
from support.snapshots import MadeUp, stepping
from trigru.bench.upgrades.bisect import bisect, judge_by_command
from trigru.bench.upgrades.search import search
from trigru.bench.upgrades.version_sets import VersionSet, read_set
from trigru.common.errors import InputError, TrigruError, UnjudgedError

START = date(2025, 1, 1)
#: The releases of two packages, by the number of the day on which each came.
RELEASED = {
    "jax": {0: "0.4.37", 9: "0.4.38", 17: "0.5.0", 30: "0.5.1"},
    "flax": {0: "0.10.1", 5: "0.10.2", 17: "0.10.3"},
}
RELEASES = {name: list(days.values()) for name, days in RELEASED.items()}
CHANGES = [(name, number) for name in RELEASES for number in RELEASES[name][1:]]


def day_set(number):
    day = START + timedelta(days=number)
    return VersionSet(day.isoformat(), (), day)


class World:
    """A history in which one release changed something, and another runs nowhere."""

    def __init__(self, name, number, broken=None):
        self.name, self.number = name, number
        self.broken = broken
        self.judged = []

    def resolve(self, version_set):
        if version_set.day is None:
            pairs = [text.split("==") for text in version_set.requirements]
            versions = dict(pairs)
            assert "rich" not in versions, "no other package is pinned"
            jaxlib = versions.get("jaxlib", versions["jax"])
            assert versions["jax"] == jaxlib, "jax and jaxlib are never apart"
            return versions
        versions = {"rich": version_set.name}
        for name, days in RELEASED.items():
            past = [day for day in days if day <= (version_set.day - START).days]
            versions[name] = days[max(past)]
        return versions | {"jaxlib": versions["jax"]}

    def judge(self, version_set):
        self.judged.append(version_set.name)
        versions = self.resolve(version_set)
        if self.broken in versions.items():
            return None
        order = RELEASES[self.name]
        return order.index(versions[self.name]) < order.index(self.number)

    def releases(self, name):
        return RELEASES[name]

    def search(self, good, bad):
        return search(good, bad, self.judge, self.resolve, self.releases)


@pytest.mark.parametrize(("name", "number"), CHANGES)
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (day_set(0), day_set(40)),
        (
            read_set(
                "jax==0.4.37 jaxlib==0.4.37 flax==0.10.1 equinox==0.11 optax==0.1"
            ),
            read_set("jax==0.5.1 jaxlib==0.5.1 flax==0.10.3 equinox==0.12 optax==0.2"),
        ),
    ],
    ids=["days", "versions"],
)
def test_the_release_is_named_by_days_and_by_versions(name, number, good, bad):
    """Also where two packages came on one day."""
    world = World(name, number)
    before = RELEASES[name][RELEASES[name].index(number) - 1]
    packages = ("jax", "jaxlib") if name == "jax" else (name,)
    culprit = world.search(good, bad)
    assert culprit.moved == dict.fromkeys(packages, (before, number))
    assert len(world.judged) == len(set(world.judged)) <= 12


@pytest.mark.parametrize(
    ("changed", "broken", "days", "named", "is_skipped"),
    [
        ("0.5.0", "0.4.38", (0, 40), ("0.4.37", "0.5.0"), True),
        ("0.5.1", "0.4.38", (0, 40), ("0.5.0", "0.5.1"), False),
        # all later days
        ("0.4.38", "0.5.0", (5, 30), ("0.4.37", "0.4.38"), True),
    ],
)
def test_what_cannot_be_judged_is_gone_around_and_told(
    changed, broken, days, named, is_skipped
):
    world = World("jax", changed, broken=("jax", broken))
    culprit = world.search(day_set(days[0]), day_set(days[1]))
    assert culprit.moved["jax"] == named
    assert set(culprit.skipped) <= set(world.judged)
    assert bool(culprit.skipped) or not is_skipped
    assert culprit.judged == len(world.judged)


@pytest.mark.parametrize(
    ("number", "days", "message"),
    [("0.5.1", (0, 20), "is as GOOD is"), ("0.4.38", (10, 40), "is not good")],
)
def test_ends_that_are_alike_have_no_answer(number, days, message):
    """This exits with 2, and is not passed over as an UnjudgedError is."""
    with pytest.raises(TrigruError, match=message) as raised:
        World("jax", number).search(day_set(days[0]), day_set(days[1]))
    assert raised.type is TrigruError


def test_an_end_that_cannot_be_judged_has_no_answer():
    world = World("jax", "0.5.0", broken=("flax", "0.10.3"))
    with pytest.raises(UnjudgedError, match="cannot be judged"):
        world.search(day_set(0), day_set(40))


@pytest.mark.parametrize(
    ("bad", "releases", "moved"),
    [
        (("jax==1", "chex==2"), ["1", "2"], {"chex": ("none", "2")}),
        (("jax==3",), ["1", "2"], {"jax": ("1", "3")}),
        (("jax==3",), ["2", "3"], {"jax": ("1", "3")}),
        (("jax==3",), ["1", "2", "3"], {"jax": ("1", "2")}),
    ],
)
def test_a_package_that_comes_or_whose_releases_are_not_known_is_named_as_it_is(
    bad, releases, moved
):
    good = VersionSet("a", ("jax==1",))
    culprit = search(
        good,
        VersionSet("b", bad),
        lambda version_set: version_set.requirements == good.requirements,
        World("jax", "0.5.0").resolve,
        lambda name: releases,
    )
    assert culprit.moved == moved


def test_what_changed_with_no_framework_is_said():
    world = World("jax", "0.5.1")
    good, bad = day_set(1), day_set(4)

    def judge(version_set):
        return version_set.day is not None and version_set.day < bad.day

    with pytest.raises(TrigruError, match="none of the frameworks moved"):
        search(good, bad, judge, world.resolve, world.releases)


# The command


def judge_script(script):
    return judge_by_command(["sh", "-c", script], MadeUp(), read_set("jax==0.1.0"))


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
    assert judge_script(script) is verdict


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_run_ends_the_search(code):
    with pytest.raises(InputError, match="the command cannot be run: no such thing"):
        judge_script(f"echo no such thing >&2; exit {code}")


def bisect_by_command(folder, codes, failing=None, format="text"):
    """Search by a command with an exit code for each release."""
    cases = []
    for release, code in zip(MADE_UP, codes, strict=True):
        cases.append(f"jax=={release}) exit {code};;")
    script = f"case $VERSION_SET in {' '.join(cases)} esac"
    bisect(
        f"jax=={MADE_UP[0]}",
        f"jax=={MADE_UP[-1]}",
        ["sh", "-c", script],
        None,
        [],
        MadeUp(failing),
        format,
        folder,
    )


def test_the_neighbouring_releases_are_named(tmp_path, capsys):
    bisect_by_command(tmp_path, (0, 0, 0, 1, 1, 1), {"jax==0.3.0": True})
    out, err = capsys.readouterr()
    first, second, third = [line for line in out.splitlines() if line]
    assert first == "It changed with jax 0.2.0 -> 0.4.0."
    assert second.endswith("version sets were judged, by the exit codes of sh.")
    assert third == "1 could not be judged: jax==0.3.0"
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err


def test_the_neighbouring_releases_are_named_for_machines(tmp_path, capsys):
    bisect_by_command(tmp_path, (0, 0, 0, 0, 0, 1), format="json")
    assert json.loads(capsys.readouterr().out)["passed"]


@pytest.mark.parametrize(
    ("last", "error", "out"), [(125, UnjudgedError, "json"), (0, TrigruError, "")]
)
def test_nothing_that_is_found_is_an_error(tmp_path, capsys, last, error, out):
    with pytest.raises(error):
        bisect_by_command(tmp_path, (0, 0, 0, 0, 0, last), format="json")
    printed = capsys.readouterr().out
    assert bool(printed) == bool(out)


def lines_and_bits(number):
    """From 0.4.0 on, NNX runs more lines, and plain JAX from 0.2.0 on; leaves change
    with 0.5.0.
    """
    pure_lines = 150 if number >= 2 else 100
    nnx_lines = 150 if number >= 4 else 100
    leaves = {"w": f"float{16 if number >= 5 else 32}(3,)"}
    return [
        stepping("pure", pure_lines, leaves=leaves),
        stepping("nnx", nnx_lines, leaves=leaves),
    ]


def lines_of_nnx(number):
    _, nnx = lines_and_bits(number)
    return [nnx]


def bisect_by_fact(folder, fact, ports, environments):
    good, bad = f"jax=={MADE_UP[0]}", f"jax=={MADE_UP[-1]}"
    arguments = [f"--port={name}" for name in ports]
    bisect(good, bad, [], fact, arguments, environments, "text", folder)


def test_a_fact_is_asked_of_snapshots_of_the_ports_each_taken_once(tmp_path, capsys):
    environments = MadeUp({"jax==0.3.0": True}, lines_of_nnx)
    bisect_by_fact(tmp_path, "calls", ["nnx"], environments)
    out, err = capsys.readouterr()
    assert out.startswith("It changed with jax 0.2.0 -> 0.4.0.\n")
    counts = "by a count or bits, which are exact.\n1 could not be judged: jax==0.3.0\n"
    assert counts in out
    assert "jax==0.3.0: no such wheel\njax==0.3.0: cannot be judged\n" in err
    names = [name for name, _ in environments.taken]
    assert len(names) == len(set(names))
    assert all(arguments == ["--port=nnx"] for _, arguments in environments.taken)

    again = MadeUp({"jax==0.3.0": True}, lines_of_nnx)
    bisect_by_fact(tmp_path, "calls", ["nnx"], again)
    assert capsys.readouterr().out == out
    assert again.taken == [], "what is kept is not taken again"


def test_without_ports_all_are_looked_at(tmp_path, capsys):
    bisect_by_fact(tmp_path, "tree", [], MadeUp(subjects=lines_and_bits))
    line = f"tree: pure, nnx: {STEP_LEAF}: float16(3,), was float32(3,)"
    assert line in capsys.readouterr().out


STEP_LEAF = "train_step jit adam float32: leaf w"


def test_a_fact_that_did_not_change_is_an_error(tmp_path):
    with pytest.raises(TrigruError, match="is as GOOD is"):
        bisect_by_fact(tmp_path, "broken", [], MadeUp(subjects=lines_and_bits))
