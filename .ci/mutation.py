"""Mutation testing with cosmic-ray: do `trigru verify` and the tests notice small changes of the code?

.venv/bin/uv sync --group mutation
.venv/bin/python .ci/mutation.py plan verify SESSION 540 [SEED]       in a clone, whose files are changed meanwhile
.venv/bin/cosmic-ray exec .ci/mutation-verify.toml SESSION            goes on where it was ended; takes an hour
.venv/bin/python .ci/mutation.py report SESSION...                    the score, and the survivors

Of each site in the sample, a place in the code and a kind of change, one change is made: a number by one more or less,
a comparison or an operator for another, `and` for `or`, a condition negated, a decorator removed, a loop that does not
run. Annotations, docstrings and what is raised are left out. There are two judges: `verify`, which is `trigru verify`
of the ports that the file belongs to, and nothing else; and `tests`, over `bench` and `common`, the tests of the room.
"""

import ast
import json
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

PORTS = ("pure", "linen", "nnx", "equinox")
SHARED = (
    "gru/checks",
    "gru/recurrence",
    "gru/initializers",
    "parameters/layouts",
    "parameters/record",
)
#: The ports and kernels that judge a file: of a port, its own; of the fused kernel, plain JAX's; else all, stock.
VERIFIED = {
    **{f"impls/{port}.py": ((port,), (None, "fused")) for port in PORTS},
    **{f"common/{name}.py": (PORTS, (None,)) for name in SHARED},
    "common/gru/fused.py": (("pure",), ("fused",)),
}
#: What the judge `tests` leaves out: scripts outside the package, and what needs libraries that are not installed.
LEFT_OUT = ("bench/studies/",)


def plan(judge: str, session: str, number: str, seed: str = "0") -> None:
    """Choose a random sample of sites of the files of a judge, and one mutant of each."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB

    paths = (
        path for folder in ("bench", "common") for path in Path(folder).rglob("*.py")
    )
    rooms = sorted(path for path in paths if not path.as_posix().startswith(LEFT_OUT))
    files = [Path(file) for file in VERIFIED] if judge == "verify" else rooms
    spans = {str(file): left_out(file) for file in files}
    rng, database, sites = (
        random.Random(int(seed)),
        WorkDB(session, WorkDB.Mode.create),
        defaultdict(list),
    )
    init(files, database, {})
    for item in database.work_items:
        (mutation,) = item.mutations
        file, at = str(mutation.module_path), tuple(mutation.start_pos)
        if not any(start <= at < end for start, end in spans[file]):
            sites[file, at, mutation.operator_name.partition("_")[0]].append(item)
    database.clear()
    database.add_work_items(
        rng.choice(sites[site]) for site in rng.sample(sorted(sites), int(number))
    )
    print(f"{number} of {len(sites)} sites")


def left_out(file: Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The places of annotations and of what is raised."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    left = [node for node in nodes if isinstance(node, ast.Raise)]
    left += [
        inner
        for node in nodes
        for name in ("returns", "annotation")
        if (inner := getattr(node, name, None))
    ]
    return [
        ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        for node in left
    ]


def judge(by: str) -> int:
    """The exit code of what judges the changed file."""
    command = ["git", "diff", "--name-only", "HEAD", "--", "bench", "common", "impls"]
    (file,) = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    if by == "verify":
        return verified_by_all(file)
    room = next(
        f"tests/{room}" for room in Path(file).parents if Path("tests", room).is_dir()
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-q", "-x", room]
    ).returncode


def verified_by_all(file: str) -> int:
    """1 as soon as a port that the file belongs to gives another answer than `trigru verify` expects, else 0."""
    from trigru.bench.proving.messages import PortId
    from trigru.bench.proving.questions import expand, find
    from trigru.common.equality.checks import CHECKS, DTYPES
    from trigru.common.equality.verification import Examiner

    ports, kernels = VERIFIED[file]
    asked = expand(
        [PortId("port", port, kernel) for kernel in kernels for port in ports],
        DTYPES,
        CHECKS,
    )
    examiner = Examiner(shrink=False)
    answers = (
        examiner.ask(*find(question))
        for question in random.Random(0).sample(asked, len(asked))
    )
    return int(any(not answer.passed for answer in answers))


def report(*sessions: str) -> None:
    """Print the score with its 95 % interval, and each survivor's file, change, and why nothing asks for it.

    Those of which `survivors.json` says that they change nothing do not count.
    """
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import TestOutcome
    from scipy.stats import binomtest

    explained = json.loads(Path(__file__).with_name("survivors.json").read_text())
    noticed, survivors = 0, []
    for database in (WorkDB(session, WorkDB.Mode.open) for session in sessions):
        files = {
            item.job_id: str(item.mutations[0].module_path)
            for item in database.work_items
        }
        for job, result in database.results:
            noticed += (
                result.is_killed and result.test_outcome != TestOutcome.INCOMPETENT
            )
            if (
                not result.is_killed
                and change_of(result.diff) not in explained["changes nothing"]
            ):
                survivors.append((files[job], change_of(result.diff)))
    low, high = binomtest(noticed, noticed + len(survivors)).proportion_ci(
        method="wilson"
    )
    print(f"{noticed} of {noticed + len(survivors)} noticed [{low:.1%}, {high:.1%}]")
    for file, change in sorted(survivors):
        print(f"{file}: {change}: {explained['not asked'].get(change, 'UNEXPLAINED')}")


def change_of(diff: str) -> str:
    """The lines that were removed and added, in one."""
    lines = (
        line
        for line in diff.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    )
    return " ".join(" ".join(line.split()) for line in lines if line[1:].strip())


if __name__ == "__main__":
    sys.exit(globals()[sys.argv[1]](*sys.argv[2:]))
