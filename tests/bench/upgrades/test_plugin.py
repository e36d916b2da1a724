"""The fixture `unchanged`: what it writes, what it passes, and what a test that fails
prints.
"""

import pytest

# once for all runs in this process: types of a module that is imported again are others
import trigru.bench.upgrades.changes
import trigru.bench.upgrades.installed
import trigru.bench.upgrades.recording
import trigru.bench.upgrades.review
import trigru.bench.upgrades.words  # noqa: F401
from trigru.bench.upgrades.changes import compare_snapshots
from trigru.bench.upgrades.plugin import file_name
from trigru.bench.upgrades.snapshot_file import load
from trigru.bench.upgrades.user_tests import is_of_tests, take_snapshot_of_tests
from trigru.common.errors import InputError

pytest_plugins = ["pytester"]

TEST = """
import numpy as np
import jax.numpy as jnp

def model(w, x):
    outputs = jnp.tanh(x @ w) * {scale}
    return {{"loss": (outputs**2).mean(), "outputs": outputs}}

def test_mine(unchanged):
    w = np.linspace({first}, 1, 6, dtype="f4").reshape(2, 3)
    unchanged(model, w, np.ones((4, 2), "f4"))
    unchanged(jnp.cos, np.ones(2, "f4"))
"""
ACCEPT = "To accept the change, run: pytest --trigru-update 'test_it.py::test_mine'"
CHANGE = [
    "loss: 0.*, was 0.* (*)  [[]function[]]",
    "    at test_it.py:5 (mul of shape 4x3) and 1 more change",
]


@pytest.fixture
def run(pytester, request):
    """Runs a test whose function has a scale, with options of pytest."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    if not request.config.pluginmanager.hasplugin("trigru"):
        options += ["-p", "trigru.bench.upgrades.plugin"]

    def run_with(*more, scale=1, first=0):
        pytester.makepyfile(test_it=TEST.format(scale=scale, first=first))
        return pytester.runpytest_inprocess(*options, *more)

    return run_with


@pytest.fixture
def files(pytester):
    """The files of a snapshot, by their names, as they are now."""

    def read():
        paths = (pytester.path / "snapshots/test_it").iterdir()
        return {path.name: path.read_bytes() for path in paths}

    return read


def test_without_a_snapshot_it_says_how_to_take_one(run):
    advice = "*There is no snapshot in*pytest --trigru-update*"
    run().stdout.fnmatch_lines([advice])


def test_a_test_passes_until_its_function_changes_and_says_what_and_where(run):
    run("--trigru-update").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)
    changed = run(scale=1.01)
    changed.assert_outcomes(failed=1)
    versions = "The versions have not changed: python *, jax *."
    changed.stdout.fnmatch_lines([*CHANGE, versions, ACCEPT], consecutive=True)


def test_a_test_with_other_arguments_says_that_nothing_is_compared(run):
    run("--trigru-update")
    others = "the arguments: w is another one, *; so nothing is compared*"
    run(first=0.5).stdout.fnmatch_lines([others, ACCEPT])


def test_an_update_shows_what_it_accepts_and_writes_that_alone(run, files):
    run("--trigru-update")
    before = files()
    assert before.keys() == {
        "test_mine.txt",
        "test_mine.safetensors",
        "test_mine-2.txt",
        "test_mine-2.safetensors",
    }

    run("--trigru-update")
    assert files() == before

    accepted = run("--trigru-update", scale=1.01)
    first, *more = CHANGE
    accepted.stdout.fnmatch_lines([f"test_it.py::test_mine: {first}", *more])
    after = files()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"test_mine.txt", "test_mine.safetensors"}


def test_a_number_that_changes_is_one_line_of_the_text(run, files):
    run("--trigru-update")
    before = files()["test_mine.txt"].decode().splitlines()
    run("--trigru-update", scale=1.01)
    after = files()["test_mine.txt"].decode().splitlines()
    assert len(before) == len(after)
    pairs = zip(before, after, strict=True)
    changed = [old.partition(" = ")[0].strip() for old, new in pairs if old != new]
    names = ["gradient by w", "gradient by x", "result['loss']", "result['outputs']"]
    assert changed == names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("test_it[a/b]", "test_it[a:b]"),
        ("TestOne::test_it", "TestTwo::test_it"),
        ("test_it[" + "x" * 300 + "1]", "test_it[" + "x" * 300 + "2]"),
    ],
)
def test_two_tests_have_two_files_on_every_file_system(one, other):
    names = [file_name(f"test_it.py::{test}") for test in (one, other)]
    assert names[0] != names[1]
    for name in names:
        assert not set(name) & set('/\\:*?"<>|')
        assert len(name) < 150


@pytest.mark.parametrize(
    ("text", "are_tests"),
    [
        ("tests/test_model.py", True),
        ("model_test.py", True),
        ("tests", True),
        ("tests/checks.py::test_it", True),
        ("my_port.py", False),
    ],
)
def test_a_file_of_tests_is_told_from_one_of_models(text, are_tests):
    assert is_of_tests(text) == are_tests


def test_what_tests_pass_is_one_snapshot_and_nothing_is_compared(pytester):
    snapshots = []
    for scale in (1, 1.01):
        pytester.makepyfile(test_it=TEST.format(scale=scale, first=0))
        taken = take_snapshot_of_tests(pytester.path / f"by {scale}", "test_it.py")
        assert {subject.framework for subject in taken.subjects} == {"test_it.py"}
        snapshots.append(load(pytester.path / f"by {scale}"))

    names = [subject.name for subject in snapshots[0].snapshot.subjects]
    assert names == ["test_it.py::test_mine", "test_it.py::test_mine-2"]
    changes = compare_snapshots(*snapshots)
    functions = {change.subject for change in changes if change.kind == "function"}
    assert functions == {"test_it.py::test_mine"}


def test_tests_that_pass_nothing_are_no_snapshot(pytester):
    pytester.makepyfile(test_it="def test_other():\n    pass\n")
    with pytest.raises(InputError, match="no test called the fixture"):
        take_snapshot_of_tests(pytester.path / "taken", "test_it.py")
