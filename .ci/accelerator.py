"""Measure on a machine with an accelerator that has no network: equality, then times in each precision.

    python3 .ci/accelerator.py pack build/wheels --python 3.12
    python3 .ci/accelerator.py run build/wheels OUTPUT [--minutes 9] [--rehearse]

`pack` runs where there is a network. It puts trigru's wheel into a folder, and those of packages that a machine with
jax, flax, equinox, optax, torch, rich, typer, safetensors, matplotlib, scipy and pytest-benchmark may lack. The folder
travels with this checkout.

`run` needs nothing else. It installs the wheels beside that machine's packages and takes the steps of `STEPS`, each
with a limit of its own. A step that is done has its file in OUTPUT's folder `done` and is not taken again; a
measurement that was cut off is continued. So where one command may last ten minutes, run it again until it ends with 0.
The files to take home lie in OUTPUT itself, complete ones alone. `--rehearse` takes the same steps with the least
sizes, on any machine.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: What such a machine may lack.
CARRIED = ("filelock", "flatbuffers", "jinja2", "markupsafe", "msgspec", "platformdirs")
#: pip matches a platform exactly.
PLATFORMS = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)] + [
    "--platform=manylinux2014_x86_64"
]
TIMED = ["compare", "--no-proof", "--kernel=stock", "--kernel=fused", "--style=functional", "--processes=3"]
SIZES = ["--workload=medium", "--workload=large", "--phase=forward", "--phase=train_step"]
#: torch is timed beside the ports where it is.
TORCH = [f"--port={name}" for name in ("pure", "linen", "nnx", "equinox", "torch")] if find_spec("torch") else []


@dataclass(frozen=True)
class Step:
    """One file.

    Args:
        name: of the file, without its ending.
        command: of trigru.
        minutes: after which it is ended; below ten.
        least: what takes the place of its sizes in a rehearsal.
    """

    name: str
    command: list[str]
    minutes: float
    least: list[str]

    @property
    def is_timed(self) -> bool:
        """Whether it leaves a journal, from which it is continued."""
        return self.command[0] == "compare"


_LEAST = ["--workload=tiny", "--phase=train_step", "--processes=1"]
#: The first are those that nothing else can show. All together take less than 25 minutes.
STEPS = (
    Step("float32-highest", [*TIMED, *SIZES, *TORCH], 5.5, _LEAST),
    Step("verify", ["verify", "--format=json"], 4.0, ["--check=sequence"]),
    Step("verify-fused", ["verify", "--format=json", "--kernel=fused"], 4.0, ["--check=sequence"]),
    Step("float32-default", [*TIMED, *SIZES, "--precision=default", *TORCH], 5.0, _LEAST),
    Step("bfloat16", [*TIMED, *SIZES, "--dtype=bfloat16", "--precision=default"], 3.5, _LEAST),
)


def pack(folder: Path, python: str) -> None:
    """Put the wheels into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools would pack what is gone from here
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    found = ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *PLATFORMS]
    subprocess.run([*pip, "download", "--quiet", "--no-deps", *found, "--dest", folder, *CARRIED], check=True)


def run(wheels: Path, output: Path, minutes: float, *, rehearse: bool) -> int:
    """Take the steps that are not done, as far as the time goes; 1 if some are left."""
    ends, done = time.monotonic() + 60 * minutes, output / "done"
    done.mkdir(parents=True, exist_ok=True)
    site = output / "site"
    if not site.exists():
        _install(sorted(wheels.glob("*.whl")), site)
    left = [step for step in STEPS if not (done / f"{step.name}.json").exists()]
    for step in left:
        limit_s = min(60 * step.minutes, ends - time.monotonic())
        if limit_s < 30 and not rehearse:
            break
        print(f"{step.name}: {' '.join(step.command)}", flush=True)
        _take(step, output, site, limit_s, rehearse=rehearse)
    for file in done.glob("*.json"):
        shutil.copyfile(file, output / file.name)
    missing = [step.name for step in STEPS if not (done / f"{step.name}.json").exists()]
    print(f"left: {', '.join(missing)}" if missing else "all steps are done")
    return bool(missing)


def _take(step: Step, output: Path, site: Path, limit_s: float, *, rehearse: bool) -> None:
    """Take one step; its file is moved to `done` only when it is complete."""
    made_in, begun = output / step.name, time.monotonic()
    command = [part for part in step.command if part not in SIZES] + step.least if rehearse else list(step.command)
    if step.is_timed:
        command.append(f"--output={made_in}")
    made_in.mkdir(exist_ok=True)
    found = made_in / ("results.json" if step.is_timed else "equality.json")
    with open(made_in / "log.txt", "ab") as log, open(made_in / "said", "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", "from trigru.bench.cli import main; main()", *command],
            stdout=said, stderr=log, env=os.environ | {"PYTHONPATH": str(site)}, cwd=made_in,
        )  # fmt: skip
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # what was measured stays, and is said
            try:
                code = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            print(f"  ended after {limit_s:.0f} s")
    if not step.is_timed and code in (0, 1):  # 1: something is not equal, which is an answer
        shutil.copyfile(made_in / "said", found)
    if found.exists():
        shutil.copyfile(found, output / "done" / f"{step.name}.json")
    print(f"  exit code {code} after {time.monotonic() - begun:.0f} s", flush=True)
    if not found.exists():
        print("".join((made_in / "log.txt").read_text(errors="replace").splitlines(keepends=True)[-5:]), flush=True)


def _install(wheels: list[Path], site: Path) -> None:
    """Put the wheels beside what the machine has; what it has itself is not replaced, but by what travels."""
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", site]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *wheels], check=True)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing, running = commands.add_parser("pack"), commands.add_parser("run")
    for given in (packing, running):
        given.add_argument("wheels", type=Path)
    packing.add_argument("--python", default="3.12", help="of that machine (default: 3.12)")
    running.add_argument("output", type=Path)
    running.add_argument("--minutes", type=float, default=25.0, help="for all steps (default: 25)")
    running.add_argument("--rehearse", action="store_true")
    given = parser.parse_args()
    if given.command == "pack":
        pack(given.wheels, given.python)
        return 0
    return run(given.wheels, given.output.absolute(), given.minutes, rehearse=given.rehearse)


if __name__ == "__main__":
    sys.exit(main())
