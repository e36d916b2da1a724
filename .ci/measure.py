"""Make the committed results of trigru's commands again: all, or those that are named.

Each is measured by the command in `RESULTS`, one after the other, in an environment of its Python with the pinned
versions. uv makes the environments in `--folder`; one that is there already is taken as it is. Each run waits until
the machine is idle, and a result is replaced only by a complete one of an idle machine; a run that was not taken stays
in the folder. Afterwards, run `.ci/generate_docs.py`.
"""

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORKLOADS = [f"--workload={name}" for name in ("question", "medium", "long", "large")]
#: torch's own GRU, beside all ports.
TORCH = [f"--port={name}" for name in ("pure", "linen", "nnx", "equinox", "torch")]
FUNCTIONAL = "--style=functional"
KERNEL = ["--phase=train_step", *WORKLOADS, "--processes=3"]
INFERENCE = ["--phase=forward", *KERNEL[1:]]
#: Runnable processes in the last minute, below which a machine is idle.
IDLE = 0.5
#: file in docs/results: Python, command. Python 3.11 gets an older jax than 3.13, so the answer is measured on both.
RESULTS = {
    "cpu": ("3.13", ["compare"]),
    "cpu-py311": ("3.11", ["compare"]),
    "sweep": ("3.13", ["compare", "--no-proof", "--size=hidden=8,32,128,512", "--phase=train_step"]),
    "kernel": ("3.11", ["compare", "--no-proof", "--kernel=fused", *TORCH, *KERNEL, FUNCTIONAL]),
    "inference": ("3.11", ["compare", "--no-proof", "--kernel=fused", *TORCH, *INFERENCE, FUNCTIONAL]),
    "cold_start": ("3.13", ["compare", "--cold-start"]),
}


def main() -> int:
    """Measure what is asked for; 1 if something was not replaced."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *RESULTS], metavar="RESULT", help=", ".join(RESULTS))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "measure")
    given = parser.parse_args()
    refused = {name: _measure(name, given.folder.absolute()) for name in given.names or RESULTS}
    for name, why in refused.items():
        print(f"{name}: {why or 'measured'}")
    return any(refused.values())


def _measure(name: str, folder: Path) -> str | None:
    """Measure one, and say why it was not taken."""
    python, command = RESULTS[name]
    programs = _environment(python, folder / f"py{python.replace('.', '')}") / "bin"
    made_in = folder / name
    run: list[Path | str] = [programs / "trigru", *command, "-o", made_in]
    shutil.rmtree(made_in, ignore_errors=True)
    made_in.mkdir(parents=True)
    while os.getloadavg()[0] > IDLE:
        time.sleep(5)
    print(f"+ {' '.join([Path(run[0]).name, *map(str, run[1:-1])])}", flush=True)
    status = subprocess.run(run, cwd=made_in).returncode
    made = next(iter(made_in.glob("*.json")), None)
    if made is None or status:
        return f"exit code {status}"
    if busy := _busy(made):
        return f"{busy} Not taken: {made}"
    published = ROOT / "docs" / "results" / f"{name}.json"
    if b'"benchmarks"' in made.read_bytes():  # a run, which is long
        published.with_suffix(".json.gz").write_bytes(gzip.compress(made.read_bytes(), mtime=0))
    else:
        shutil.copyfile(made, published)
    return None


def _environment(python: str, folder: Path) -> Path:
    """The environment of a Python, with the pinned versions, and torch, where its wheels are."""
    if not folder.exists():
        more = ["--extra=peers"] if python == "3.11" else []
        command = ["uv", "sync", f"--python={python}", *more]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}, check=True)
    return folder


def _busy(made: Path) -> str | None:
    """The reason why a result should be measured again."""
    from trigru.bench.analysis.merge import load
    from trigru.bench.reporting.provenance import load_warnings

    if '"benchmarks"' not in made.read_text(encoding="utf-8"):
        return None  # cold starts are not told by their times alone
    return " ".join(load_warnings(load(made).trigru)) or None


if __name__ == "__main__":
    sys.exit(main())
