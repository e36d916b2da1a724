"""Make the committed results of trigru's commands again: all, or those that are named.

Each is measured by the command in `RESULTS`, in an environment of its Python with the pinned versions, which uv makes
in build/measure. Each waits until the machine is idle, and a result is replaced only by a complete one of an idle
machine; one that was not taken stays in build/measure. Afterwards, run `.ci/generate_docs.py`.
"""

import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "measure"
#: A kernel, beside torch's own GRU and all ports.
KERNEL = ["compare", "--no-proof", "--kernel=fused", "--processes=3", "--style=functional"]
KERNEL += [f"--port={name}" for name in ("pure", "linen", "nnx", "equinox", "torch")]
KERNEL += [f"--workload={name}" for name in ("question", "medium", "long", "large")]
#: Runnable processes in the last minute, below which a machine is idle.
IDLE = 0.5
#: As many as the run itself has at its end, and no other work.
MOST_AFTER = 1.5 * (os.cpu_count() or 1)
#: file in docs/results: Python, command. Python 3.11 gets an older jax than 3.13, so the answer is measured on both.
RESULTS = {
    "cpu": ("3.13", ["compare"]),
    "cpu-py311": ("3.11", ["compare"]),
    "sweep": ("3.13", ["compare", "--no-proof", "--size=hidden=8,32,128,512", "--phase=train_step"]),
    "kernel": ("3.11", [*KERNEL, "--phase=train_step"]),
    "inference": ("3.11", [*KERNEL, "--phase=forward"]),
    "cold_start": ("3.13", ["compare", "--cold-start"]),
}


def measure(name: str) -> str:
    """Measure one, and return the reason why it was not taken; "" if it was."""
    python, command = RESULTS[name]
    environment, folder = FOLDER / f"py{python}", FOLDER / name
    if not environment.exists():
        peers = ["--extra=peers"] if python == "3.11" else []  # for which torch has wheels
        sync = ["uv", "sync", f"--python={python}", *peers]
        subprocess.run(sync, cwd=ROOT, env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment)}, check=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    while os.getloadavg()[0] > IDLE:
        time.sleep(5)
    print(f"+ trigru {' '.join(command)}", flush=True)
    status = subprocess.run([environment / "bin" / "trigru", *command, "-o", folder], cwd=folder).returncode
    made = next(iter(folder.glob("*.json")), None)
    if made is None or status:
        return f"exit code {status}"
    published = ROOT / "docs" / "results" / f"{name}.json"
    if name == "cold_start":
        shutil.copyfile(made, published)
        return ""
    from trigru.bench.analysis.merge import load
    from trigru.bench.reporting.provenance import load_warnings

    run = load(made).trigru
    after = run.ended.load if run.ended else None
    busy = [*load_warnings(run), *["The machine was busy after the run."] * ((after or 0) > MOST_AFTER)]
    if busy:
        return f"{' '.join(busy)} Not taken: {made}"
    published.with_suffix(".json.gz").write_bytes(gzip.compress(made.read_bytes(), mtime=0))
    return ""


if __name__ == "__main__":
    refused = {name: measure(name) for name in sys.argv[1:] or RESULTS}
    for name, why in refused.items():
        print(f"{name}: {why or 'measured'}")
    sys.exit(any(refused.values()))
