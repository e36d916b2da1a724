"""Did an upgrade change anything? Snapshots of what is installed, and what changed between two of them.

`take_snapshot` writes one down, and `assert_unchanged` is the line for a test: of what is installed, of a port, or of
any function of parameters and inputs.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from .changes import FAILING

__all__ = ["FAILING", "assert_unchanged", "take_snapshot"]


def take_snapshot(path: str | Path, what: Any = None, *arguments: Any, equality: bool = True) -> None:
    """Write a snapshot into a folder; an earlier one there is replaced, and other files stay.

    Args:
        path: of the folder.
        what: None for what is installed, with every port; a port; or a function that JAX can compile.
        arguments: of the function: its parameters, a pytree, and its inputs.
        equality: whether ports are also compared with the oracle, which takes most of the time.

    Raises:
        SnapshotError: the folder is a file, or the function fails.
    """
    from .folder import load, snapshot_in

    with snapshot_in(Path(path)) as beside:
        _take(beside, what, arguments, equality)
        if callable(what):
            _refuse_problems(load(beside)[0])


def assert_unchanged(path: str | Path, what: Any = None, *arguments: Any, fail_on: Collection[str] = FAILING) -> None:
    """Raise AssertionError, naming what changed, unless what is installed does what it did when a snapshot was taken.

    Args:
        path: of the folder of a snapshot, as `take_snapshot` or `trigru snapshot` wrote it.
        what, arguments: as `take_snapshot` took them.
        fail_on: the kinds of changes that count, of `trigru.bench.upgrades.changes.KINDS`.

    Raises:
        SnapshotError: there is no snapshot, or a damaged one.
    """
    import tempfile

    from .changes import changes
    from .folder import SnapshotError, load
    from .reading import unread

    old = load(Path(path))
    with tempfile.TemporaryDirectory() as place:
        now = Path(place) / "now"
        now.mkdir()
        _take(now, what, arguments, old[0].equality is not None, [subject.framework for subject in old[0].subjects])
        new = load(now)
        if what is not None and len(old[0].subjects) == 1:  # whatever the function is called now
            new[0].subjects[0].name = old[0].subjects[0].name
        if not {s.name for s in old[0].subjects} & {s.name for s in new[0].subjects}:
            raise SnapshotError(f"{path}: has nothing of what was passed: it is of {old[0].subjects[0].name}.")
        found = [*unread(Path(path), old[0]), *changes(old, new)]
    failing = [change for change in found if change.kind in fail_on]
    if failing:
        said = [f"{c.kind}: {c.subject}: {c.what}: {c.new or 'none'}, was {c.old or 'none'}" for c in failing]
        raise AssertionError(f"{len(said)} changes since {old[0].datetime}:\n" + "\n".join(said))


def _refuse_problems(snapshot: Any) -> None:
    from .folder import SnapshotError

    for what, said in snapshot.subjects[0].problems.items():
        if what.startswith("values"):
            raise SnapshotError(f"the function fails, so that nothing is kept: {said}")


def _take(
    path: Path, what: Any, arguments: tuple[Any, ...], equality: bool, names: Collection[str] | None = None
) -> None:
    from ...common.port.protocol import Port
    from .folder import save
    from .functions import of_function, of_port

    if what is None:
        from ...impls import port_names
        from ..proving.prover import Prover
        from .taking import take

        with Prover(keep=True) as prover:
            save(path, *take(list(dict.fromkeys(names or port_names())), path, equality=equality, prover=prover))
    elif isinstance(what, Port):
        save(path, *of_port(what, path, equality=equality))
    else:
        save(path, *of_function(what, *arguments))
