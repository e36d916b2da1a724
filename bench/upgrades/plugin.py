"""The pytest plugin: the fixture `unchanged`.

It imports nothing heavy before its use.
"""

from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ...common.errors import what_to_install

if TYPE_CHECKING:
    from .record import Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that accepts what is installed."""
    parser.getgroup("trigru").addoption(
        "--trigru-update",
        action="store_true",
        help=(
            "write new snapshots for the fixture `unchanged` instead of comparing with "
            "the old ones"
        ),
    )


@pytest.fixture
def unchanged(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Fail a test if a model or a function does something else than before.

    `unchanged(model_or_function, *arguments, fail_on=None)` compares it with a snapshot
    in a folder beside the test. `pytest --trigru-update` writes that snapshot. The test
    fails at the same kinds of changes as `trigru diff`, or at those that `fail_on`
    names.
    """
    calls = count(1)

    def check(
        thing: Any, *arguments: Any, fail_on: Collection[str] | None = None
    ) -> None:
        number = next(calls)
        name = request.node.name.replace("/", "_")
        if number > 1:
            name = f"{name}-{number}"
        message: str | None = None
        try:
            message = _compare(request, name, thing, arguments, fail_on)
        except ModuleNotFoundError as error:
            message = what_to_install(error)
            if message is None:
                raise
        if message:
            pytest.fail(message, pytrace=False)

    return check


def _compare(
    request: pytest.FixtureRequest,
    name: str,
    thing: Any,
    arguments: tuple[Any, ...],
    fail_on: Collection[str] | None,
) -> str:
    """Take a snapshot, and write it or compare it; what is wrong, or ""."""
    from ..results.machine import version_differences
    from .changes import compare_snapshots
    from .installed import snapshot_of
    from .record import FAILING, Observation
    from .recording import ARGUMENTS, check_works, subject_of
    from .snapshot_file import ArrayStore, Loaded, is_snapshot, load, save
    from .words import change_lines

    test = Path(request.node.path)
    folder = test.parent / "snapshots" / test.stem / name
    accept = f"pytest --trigru-update '{request.node.nodeid}'"
    store = ArrayStore()
    subject = subject_of(thing, arguments, store, name=name)
    new = snapshot_of([subject])
    if request.config.getoption("trigru_update"):
        check_works(subject)
        save(folder, new, store)
        return ""
    if not is_snapshot(folder):
        return (
            f"There is no snapshot in {folder}. With versions that you trust, run: "
            f"{accept}"
        )

    old = load(folder)
    old_arguments, new_arguments = [
        snapshot.subjects[0].observations.pop(ARGUMENTS, Observation())
        for snapshot in (old.snapshot, new)
    ]
    if old_arguments != new_arguments:
        return (
            "The arguments are not those of the snapshot, so nothing is compared. To "
            f"take a new snapshot, run: {accept}"
        )

    failing = FAILING if fail_on is None else fail_on
    changes = compare_snapshots(old, Loaded(new, store))
    if not any(change.kind in failing for change in changes):
        return ""
    old_versions = old.snapshot.machine.versions
    moved = ", ".join(version_differences(old_versions, new.machine.versions))
    versions = f"Versions: {moved}." if moved else "The versions have not changed."
    lines = [
        *change_lines(changes, failing),
        versions,
        *_lacking(subject),
        f"To accept the change, run: {accept}",
    ]
    return "\n".join(lines)


def _lacking(subject: "Subject") -> list[str]:
    """A sentence on each fact that could not be had of a model or a function."""
    from .record import LACKING

    names: set[str] = set()
    for observation in subject.observations.values():
        names |= observation.lacks.keys()
    return [sentence for name, sentence in LACKING.items() if name in names]
