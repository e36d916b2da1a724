"""The pytest plugin: the fixture `unchanged`. It imports nothing heavy before it is used."""

from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ...common.errors import what_to_install


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that accepts what is installed."""
    text = "write the snapshots of the fixture `unchanged` anew, instead of comparing with them"
    parser.getgroup("trigru").addoption(
        "--trigru-update", action="store_true", help=text
    )


@pytest.fixture
def unchanged(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Fails a test if a model or a function does something else than when its snapshot was taken.

    `unchanged(model_or_function, *arguments, fail_on=None)` compares with a folder beside the test, which
    `pytest --trigru-update` writes. What fails are the kinds of changes of `trigru diff`, unless `fail_on` names some.
    """
    calls = count(1)

    def check(
        thing: Any, *arguments: Any, fail_on: Collection[str] | None = None
    ) -> None:
        number = next(calls)
        name = request.node.name.replace("/", "_") + (
            f"-{number}" if number > 1 else ""
        )
        try:
            message = _compare(request, name, thing, arguments, fail_on)
        except ModuleNotFoundError as error:
            if (message := what_to_install(error)) is None:
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
    """Take the snapshot of a call, and write it or compare it; what is wrong, or ""."""
    from ..results.machine import version_differences
    from .changes import changes
    from .functions import ARGUMENTS, subject_of
    from .installed import snapshot_of
    from .record import FAILING, Kept, is_snapshot, load, save
    from .tables import change_lines

    place = (
        Path(request.node.path).parent
        / "snapshots"
        / Path(request.node.path).stem
        / name
    )
    accept = f"pytest --trigru-update '{request.node.nodeid}'"
    kept, failing = Kept(), FAILING if fail_on is None else fail_on
    now = snapshot_of([subject_of(thing, arguments, kept, name=name)])
    if request.config.getoption("trigru_update"):
        save(place, now, kept)
        return ""
    if not is_snapshot(place):
        return f"there is no snapshot in {place}. Take one with versions that you trust: {accept}"
    old = load(place)
    was, new = (s.subjects[0].values.pop(ARGUMENTS, {}) for s in (old[0], now))
    if was != new:
        return f"the arguments are others than those of the snapshot, so nothing is compared. Take it anew: {accept}"
    found = changes(old, (now, kept))
    if not any(change.kind in failing for change in found):
        return ""
    moved = ", ".join(
        version_differences(old[0].machine.versions, now.machine.versions)
    )
    versions = (
        f"Versions: {moved}." if moved else "The versions are those of the snapshot."
    )
    return "\n".join(
        [versions, *change_lines(found, failing), f"To accept it: {accept}"]
    )
