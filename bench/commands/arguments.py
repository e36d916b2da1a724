"""The arguments and options of commands: what users write, with its range and a word of help."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

from ..processes.probe import check_jax
from ..reporting.console import say


def read_folder(text: str | Path) -> Path:
    """A folder as users write it; raises a BadParameter if it has no name, or one that no system takes."""
    if not str(text) or "\0" in str(text):  # a default is a path already
        raise typer.BadParameter("expected the name of a folder.")
    return Path(text)


def folder_of(sizes: list[str] | None) -> Path:
    """The folder of a run's results where the user names none: that of sizes of their own has these in its name.

    >>> str(folder_of(None)), str(folder_of(["hidden=8,32,batch=2"]))
    ('results', 'results-hidden8,32,batch2')
    """
    return Path("-".join(["results", *(re.sub(r"[^\w,]", "", size) for size in sizes or ())]))


@contextmanager
def claim_folder(folder: Path, *, timing: bool = True) -> Iterator[None]:
    """Within this context, no other trigru writes into the folder, and none times on this machine: it is waited for.

    Args:
        timing: whether this command times.

    Raises:
        OSError: the folder cannot be written.
        JaxEnvironmentError: JAX does not start here.
    """
    from ..processes.scratch import TIMING, claimed, folder_claim  # which needs trigru[bench]

    check_folder(folder)
    check_jax()

    def waiting(sentence: str) -> None:
        say(f"{sentence} Waiting until it has ended.")

    machine = claimed(TIMING, "this machine", waiting) if timing else nullcontext()
    with claimed(folder_claim(folder), str(folder), waiting), machine:
        yield


def check_folder(folder: Path) -> None:
    """Raise an OSError unless results can be written into a folder."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is no folder to write results into. Pass another with --output.")
    if not os.access(existing, os.W_OK):
        raise PermissionError(f"{existing} is not writable. Pass another folder with --output.")


def _output(help: str) -> Any:
    return Option("--output", "-o", parser=read_folder, help=help)


Names = list[str] | None
# fmt: off

# Of several commands.
Ports = Annotated[Names, Option("--port", help=
    "Only this port: pure, linen, nnx, equinox or an installed one (repeatable). Default: all.")]
Workloads = Annotated[Names, Option("--workload", help="Only this workload (repeatable).")]
Details = Annotated[bool, Option("--details", help="Also print all tables.")]
Format = Annotated[Literal["text", "json"], Option("--format", help="text, or json for machines.")]
FindingsFormat = Annotated[Literal["text", "json", "junit", "markdown", "github"], Option("--format", help=
    "text; for machines json, junit, markdown or github (annotations, and a summary).")]
Anew = Annotated[bool, Option("--anew", help="Check everything again, also what was proven before by the same code.")]

# Of `trigru compare`.
TimedPorts = Annotated[Names, Option("--port", help=
    "Only this port: pure, linen, nnx, equinox, an installed one, or torch, whose own GRU is then timed, too "
    "(repeatable). Default: all but torch.")]
Sizes = Annotated[Names, Option("--size", help=
    "The sizes of your model, as in inputs=20,hidden=200,batch=1,time=50, answered as with --quick; several values, as "
    "in hidden=8,32,128, show the cost by size (repeatable).")]
Phases = Annotated[Names, Option("--phase", help=
    "forward, gradient, train_step or step (repeatable). Default: forward, train_step and step; train_step and step "
    "with --quick; forward and train_step with another --kernel or several --devices.")]
Styles = Annotated[Names, Option("--style", help=
    "Only this call style; documented and functional name one in each port (repeatable).")]
Kernels = Annotated[Names, Option("--kernel", help=
    "stock (the default), or fused, which is compared with stock in each port's first call style or in those of "
    "--style (repeatable).")]
Quick = Annotated[bool, Option("--quick", help="A first look: fewer workloads, phases, styles, processes and checks.")]
Processes = Annotated[int | None, Option(min=1, max=1000, help=
    "Fresh processes; each measures everything. Default: 10; 4 with --quick.")]
Dtype = Annotated[Literal["float32", "bfloat16", "float16"], Option("--dtype", help=
    "Of the computation: float32, bfloat16 or float16. Parameters are float32.")]
Precision = Annotated[Literal["highest", "high", "default"], Option("--precision", help=
    "JAX's, of float32 matrix products: highest, high or default. The last two round on an accelerator.")]
TimedDevices = Annotated[str | None, Option("--devices", help=
    "Spread the batch over so many devices, too, as in 1,2,4: parts of a CPU, or accelerators. Default: 1.")]
ColdStart = Annotated[bool, Option("--cold-start", help=
    "Time import, init, compilation and first step in fresh processes.")]
NoProof = Annotated[bool, Option("--no-proof", help=
    "Time without verifying. The first results of each arm are still compared with the oracle.")]
Fresh = Annotated[bool, Option("--fresh", help=
    "Delete an unfinished run in the folder. Without it, the same command continues there.")]
Folder = Annotated[Path | None, _output(
    "Folder for results.json and report.html. Default: results; of --size, results-hidden8 or the like.")]

# Of `trigru verify`.
Dtypes = Annotated[Names, Option("--dtype", help=
    "float64 (same function?), float32, bfloat16 or float16 (accurate?); repeatable.")]
Checks = Annotated[Names, Option("--check", help="Only this check (repeatable).")]
ProvenKernels = Annotated[Names, Option("--kernel", help=
    "Verify this kernel instead of stock, e.g. fused (repeatable).")]
Devices = Annotated[int | None, Option(min=2, max=64, help=
    "Also spread the batch over so many parts of a CPU as devices, or over all accelerators.")]
Hosts = Annotated[str | None, Option("--hosts", help=
    "Check many devices together with other hosts: auto where JAX finds them (SLURM, Open MPI, Kubernetes, Cloud TPU), "
    "else the first one's HOST:PORT, how many there are, and which this is, as in 10.0.0.1:8476,2,0.")]
SelfTest = Annotated[bool, Option("--self-test", help=
    "Verify ports with planted faults (minutes). Fails if a fault goes unnoticed.")]
Upstream = Annotated[bool, Option("--upstream", help=
    "Verify the frameworks' own parts. Fails if they do not differ as recorded.")]

# Of `trigru port`.
Models = Annotated[list[str], Argument(metavar="FILE...", help=
    "A Python file with reference, candidate and x; or two, as old.py:name new.py:name. They are run.")]
Inputs = Annotated[str | None, Option("--inputs", help="FILE:NAME of the inputs. Default: x of the last file.")]
Save = Annotated[Path | None, Option("--save", help=
    "Write the candidate with the reference's parameters to a .safetensors, .msgpack or .eqx file.")]
WithTimes = Annotated[bool, Option("--time", help=
    "Also time both, if they are the same function: forward, and a step of SGD.")]

# Of `trigru convert`.
Source = Annotated[Path, Argument(metavar="IN", help="A file.")]
Target = Annotated[Path, Argument(metavar="OUT", help="The suffix gives the type of file to write.")]
To = Annotated[str | None, Option("--to", help=
    "canonical, linen, nnx, equinox or torch. Default: the one that OUT can hold, where that is only one.")]
At = Annotated[Names, Option("--at", help=
    "The GRU's place in a larger file, as params.GRU_0 (repeatable with --whole).")]
OwnNames = Annotated[Names, Option("--name", help="A name of the file's own, as weight_ih=Wi (repeatable).")]
Whole = Annotated[bool, Option("--whole", help=
    "Write the other arrays of the file, too. Default --at: every GRU.")]

# Of `trigru report` and `trigru styles`.
Results = Annotated[list[Path], Argument(metavar="RESULTS", help=
    "Files results.json, their folders, or results.partial.jsonl.")]
ReportFormat = Annotated[Literal["text", "markdown", "csv", "latex", "json", "html"], Option("--format", help=
    "text, markdown, csv, latex (with booktabs), json or html.")]
Ratio = Annotated[Literal["pure", "pairwise", "time"], Option("--ratio", help=
    "pure: time / plain JAX's. pairwise: each two frameworks in the same call style. time: seconds per call.")]
ShownPhases = Annotated[Names, Option("--phase", help="Only this phase (repeatable).")]
ShownStyles = Annotated[Names, Option("--style", help=
    "A call style or a label (repeatable). Default: documented and functional.")]
PageFolder = Annotated[Path | None, _output("Folder for report.html, of one run.")]
CodePort = Annotated[str | None, Argument(metavar="PORT", help="pure, linen, nnx or equinox.")]
CodeStyle = Annotated[str | None, Argument(metavar="STYLE", help=
    "A call style, or a label: documented (the default), functional, leaves or donated.")]

# Of `trigru snapshot`.
OwnModels = Annotated[Path | None, Argument(metavar="[FILE]", help=
    "Of models of your own instead, as `trigru port` takes it; one is enough.")]
Equality = Annotated[bool, Option("--equality/--no-equality", help=
    "Also prove equality, which takes time.")]
SnapshotFolder = Annotated[Path, _output("Folder for the snapshot, which is replaced.")]

# Of `trigru diff`.
Old = Annotated[Path, Argument(metavar="OLD", help="A folder of trigru snapshot, or a results.json or its folder.")]
New = Annotated[Path | None, Argument(metavar="NEW", help="The newer one; not with --now.")]
Now = Annotated[bool, Option("--now", help="Compare OLD with a snapshot of what is installed, taken on the spot.")]
Candidates = Annotated[Names, Option("--with", help=
    "With --now: this instead of what is installed, in an environment of its own: a version, as flax==0.12.0, the "
    "folder of a clone, a wheel, or a commit, as git+file:///home/me/flax@main (repeatable).")]
FailOn = Annotated[str | None, Option("--fail-on", help=
    "The kinds of changes between snapshots that make exit code 1, with commas: all, none, or some; better never does. "
    "Default: all but memory, bits and program.")]
DiffFolder = Annotated[Path | None, _output("Folder for diff.html.")]
FailAbove = Annotated[float, Option(min=0.0, max=1000.0, help=
    "The share by which an arm may be slower than before.")]
Anyway = Annotated[bool, Option("--anyway", help=
    "Compare runs although arms are in one file only, one was interrupted, or the device or flags differ.")]

# Of `trigru matrix` and `trigru bisect`.
Sets = Annotated[Names, Argument(metavar="SET", help=
    'Version sets: "jax==0.6.2 flax==0.11.2", a day, as 2025-01-31, the folder of a clone, or a commit, as '
    "git+file:///home/me/flax@main.")]
First = Annotated[str | None, Option("--from", help=
    "From this day or month on: the frameworks' newest releases on each day.")]
Every = Annotated[str, Option("--every", help="The time between the days: 2months, week, 10days.")]
Python = Annotated[str | None, Option("--python", help=
    "Of the environments, as uv takes it. Default: the version of this one.")]
MatrixFolder = Annotated[Path, _output("Folder for matrix.json and the snapshots.")]
Good = Annotated[str, Argument(metavar="GOOD", help="A version set that is good: a day, or versions.")]
Bad = Annotated[str, Argument(metavar="BAD", help="A later one that is not.")]
Command = Annotated[Names, Argument(metavar="COMMAND", help=
    "After --, run in each environment: exit code 0 is good, 125 means skip.")]
Fact = Annotated[str | None, Option("--fact", help="A kind of change, as function, draws, tree, calls or bits.")]
With = Annotated[Names, Option("--with", help="A further package that COMMAND needs (repeatable).")]
BisectFolder = Annotated[Path, _output("Folder for snapshots.")]
