"""`trigru snapshot`: all that is true of what is installed, apart from the clock."""

from collections.abc import Sequence
from pathlib import Path

from ...common.equality.measurement import Measurement
from ..proving.prover import Prover
from ..reporting.console import Progress, say, show
from ..upgrades.folder import Kept, save, snapshot_in
from ..upgrades.models import snapshot_of, subject_of
from ..upgrades.record import Snapshot
from ..upgrades.tables import snapshot_table
from ..upgrades.taking import PROCESSES, take
from .port import models_of


def snapshot(
    folder: Path,
    names: Sequence[str],
    *,
    equality: bool | Sequence[Measurement] = True,
    anew: bool = False,
    prover: Prover,
) -> None:
    """Take a snapshot of some ports, replace the one in a folder, and say what it holds.

    Args:
        equality: whether it is proven, or what was measured of it already.
        anew: take no proof that is kept.
    """
    with snapshot_in(folder) as beside:
        found = take_into(beside, names, equality=equality, anew=anew, prover=prover)
    show([snapshot_table(found)])
    measured = found.equality or []
    failed = sum(not m.passed and m.offered for m in measured)
    if failed:
        say(f"{failed} of {len(measured)} measurements of equality failed: trigru verify shows them.")
    say(f"written: {folder}" + ("" if found.equality else ", without a proof of equality"))
    say(f"after an upgrade: trigru diff {folder} --now")


def take_into(
    folder: Path, names: Sequence[str], *, equality: bool | Sequence[Measurement], anew: bool = False, prover: Prover
) -> Snapshot:
    """Take a snapshot under a progress bar, and write it into a folder that is there."""
    estimated = False
    with Progress("snapshot") as progress:

        def told(done_s: float, of_s: float, what: str) -> None:
            nonlocal estimated
            if not estimated:
                say(f"snapshot: about {of_s / PROCESSES:.0f} s on two idle cores")
            estimated = True
            progress.to(done_s / of_s, f"snapshot: {what} done")

        found, arrays = take(names, folder, equality=equality, anew=anew, prover=prover, told=told)
    save(folder, found, arrays)
    return found


def snapshot_of_file(file: str, folder: Path) -> None:
    """Take a snapshot of the models of a user's file, and replace the one in a folder."""
    with snapshot_in(folder) as beside:
        found = take_file_into(beside, file)
    show([snapshot_table(found)])
    say(f"written: {folder}")
    say(f"after an upgrade: trigru diff {folder} --now")


def take_file_into(folder: Path, file: str) -> Snapshot:
    """Take a snapshot of the models of a user's file, and write it into a folder that is there."""
    models, inputs = models_of(file)
    kept = Kept()
    found = snapshot_of([subject_of(model, inputs, kept, source=file) for model in models])
    save(folder, found, kept.arrays)
    return found
