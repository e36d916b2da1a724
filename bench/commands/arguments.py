"""The options that several commands have: what users write, with its range and a word of help."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer


def read_folder(text: str | Path) -> Path:
    """A folder as users write it; raises a BadParameter if it has no name, or one that no system takes."""
    if not str(text) or "\0" in str(text):  # a default is a path already
        raise typer.BadParameter("expected the name of a folder.")
    return Path(text)


def keeps() -> bool:
    """Whether proofs and the programs that are compiled for them are kept: always, unless TRIGRU_NO_CACHE is set."""
    return not os.environ.get("TRIGRU_NO_CACHE")


Ports = Annotated[
    list[str] | None,
    typer.Option(
        "--port", help="Only this port: pure, linen, nnx, equinox or an installed one (repeatable). Default: all."
    ),
]
TimedPorts = Annotated[
    list[str] | None,
    typer.Option(
        "--port",
        help="Only this port: pure, linen, nnx, equinox, an installed one, or torch, whose own GRU is then timed, "
        "too (repeatable). Default: all but torch.",
    ),
]
Workloads = Annotated[list[str] | None, typer.Option("--workload", help="Only this workload (repeatable).")]
Phases = Annotated[
    list[str] | None,
    typer.Option(
        "--phase",
        help="forward, gradient, train_step or step (repeatable). Default: forward, train_step and step; forward and "
        "train_step if --kernel is not stock.",
    ),
]
Styles = Annotated[
    list[str] | None,
    typer.Option("--style", help="Only this call style; documented and functional name one in each port (repeatable)."),
]
Kernels = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel",
        help="stock (the default), or fused, which is compared with stock in each port's first call style or in those "
        "of --style (repeatable).",
    ),
]
Sizes = Annotated[
    list[str] | None,
    typer.Option(
        "--size",
        help="The sizes of your model, as in inputs=20,hidden=200,batch=1,time=50, answered as with --quick; several "
        "values, as in hidden=8,32,128, show the cost by size (repeatable).",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A first look: fewer workloads, styles and processes.")]
Processes = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="Fresh processes; each measures everything. Default: 10; 4 with --quick."),
]
TimedDevices = Annotated[
    str | None,
    typer.Option(
        "--devices",
        help="Spread the batch over so many devices, too, as in 1,2,4: parts of a CPU, or accelerators. Default: 1.",
    ),
]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option("--dtype", help="Of the computation: float32, bfloat16 or float16. Parameters are float32."),
]
Precision = Annotated[
    Literal["highest", "high", "default"],
    typer.Option(
        "--precision",
        help="JAX's, of float32 matrix products: highest, high or default. The last two round on an accelerator.",
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Delete an unfinished run in the folder. Without it, the same command continues there."
    ),
]
NoProof = Annotated[
    bool,
    typer.Option(
        "--no-proof", help="Time without verifying. The first results of each arm are still compared with the oracle."
    ),
]
Anew = Annotated[
    bool, typer.Option("--anew", help="Check everything again, also what was proven before by the same code.")
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", parser=read_folder, help="Folder for results.json and report.html.")
]
PageFolder = Annotated[
    Path | None, typer.Option("--output", "-o", parser=read_folder, help="Folder for report.html, of one run.")
]
DiffFolder = Annotated[Path | None, typer.Option("--output", "-o", parser=read_folder, help="Folder for diff.html.")]
FailAbove = Annotated[
    float, typer.Option(min=0.0, max=1000.0, help="The share by which an arm may be slower than before.")
]
Details = Annotated[bool, typer.Option("--details", help="Also print all tables.")]
Format = Annotated[Literal["text", "json"], typer.Option("--format", help="text, or json for machines.")]
FindingsFormat = Annotated[
    Literal["text", "json", "junit", "markdown", "github"],
    typer.Option("--format", help="text; for machines json, junit, markdown or github (annotations, and a summary)."),
]
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="float64 (same function?), float32, bfloat16 or float16 (accurate?); repeatable."),
]
Checks = Annotated[list[str] | None, typer.Option("--check", help="Only this check (repeatable).")]
ProvenKernels = Annotated[
    list[str] | None, typer.Option("--kernel", help="Verify this kernel instead of stock, e.g. fused (repeatable).")
]
Devices = Annotated[
    int | None,
    typer.Option(
        min=2,
        max=64,
        help="Ask also with the batch spread over so many parts of a CPU as devices, or over all accelerators.",
    ),
]
Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts",
        help="Check many devices together with other hosts: auto where JAX finds them (SLURM, Open MPI, Kubernetes, "
        "Cloud TPU), else the first one's HOST:PORT, how many there are, and which this is, as in 10.0.0.1:8476,2,0.",
    ),
]
SelfTest = Annotated[
    bool,
    typer.Option("--self-test", help="Verify ports with planted faults (minutes). Fails if a fault goes unnoticed."),
]
Upstream = Annotated[
    bool, typer.Option("--upstream", help="Verify the frameworks' own parts. Fails if they do not differ as recorded.")
]
Anyway = Annotated[
    bool,
    typer.Option(
        "--anyway",
        help="Compare runs although arms are in one file only, one was interrupted, or the device or flags differ.",
    ),
]
ColdStart = Annotated[
    bool, typer.Option("--cold-start", help="Time import, init, compilation and first step in fresh processes.")
]

# Of `trigru report`.
ReportFormat = Annotated[
    Literal["text", "markdown", "csv", "latex", "json", "html"],
    typer.Option("--format", help="text, markdown, csv, latex (with booktabs), json or html."),
]
Ratio = Annotated[
    Literal["pure", "pairwise", "time"],
    typer.Option(
        "--ratio",
        help="pure: time / plain JAX's. pairwise: each two frameworks in the same call style. time: seconds per call.",
    ),
]
ShownPhases = Annotated[list[str] | None, typer.Option("--phase", help="Only this phase (repeatable).")]
ShownStyles = Annotated[
    list[str] | None,
    typer.Option("--style", help="A call style or a label (repeatable). Default: documented and functional."),
]
