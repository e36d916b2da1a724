"""`trigru snapshot`: how what is installed behaves, apart from the clock."""

from collections.abc import Sequence
from pathlib import Path

from ..proving.prover import Prover
from ..reporting.console import Progress, say, show
from ..upgrades.files import Kept, save
from ..upgrades.models import snapshot_of, subject_of
from ..upgrades.record import Snapshot
from ..upgrades.tables import snapshot_table
from ..upgrades.taking import take
from .port import models_of


def snapshot(folder: Path, names: Sequence[str], *, equality: bool, anew: bool = False, prover: Prover) -> Snapshot:
    """Take a snapshot of some ports under a progress bar, and write it into a folder. See `take` for the options."""
    with Progress("snapshot") as progress:
        found, arrays = take(names, equality=equality, anew=anew, prover=prover, progress=progress)
    save(folder, found, arrays)
    return found


def snapshot_of_file(folder: Path, file: str) -> Snapshot:
    """Take a snapshot of the models of a user's file, and write it into a folder."""
    models, inputs = models_of(file)
    kept = Kept()
    found = snapshot_of([subject_of(model, inputs, kept, source=file) for model in models])
    save(folder, found, kept.arrays)
    return found


def tell(folder: Path, found: Snapshot) -> None:
    """Print what a snapshot holds, and what to do with it."""
    show([snapshot_table(found)])
    measured = found.equality or []
    if failed := sum(not m.passed and m.offered for m in measured):
        say(f"{failed} of {len(measured)} measurements of equality failed: trigru verify shows them.")
    say(f"written: {folder}" + ("" if found.equality else ", without a proof of equality"))
    say(f"after an upgrade: trigru diff {folder} --now")
