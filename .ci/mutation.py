"""Mutation testing with cosmic-ray: do `trigru verify` and tests notice small changes?

.venv/bin/uv sync --group mutation
# in a clone, whose files are changed meanwhile
.venv/bin/python .ci/mutation.py plan verify SESSION 540 [SEED]
# takes an hour, and goes on where it was ended
.venv/bin/cosmic-ray exec .ci/mutation-verify.toml SESSION
# the score, and the survivors
.venv/bin/python .ci/mutation.py report SESSION...

A site is a place in the code and a kind of change. Of each site in the sample, one
change is made: a number by one more or less, a comparison or an operator for another,
`and` for `or`, a condition negated, a decorator removed, a loop that does not run.
Annotations, docstrings and what is raised are left out.

There are two judges: `verify` is `trigru verify` of the ports that the file belongs to;
`tests`, over `bench` and `common`, is the tests of the room. A judge that does not pass
the unchanged code is refused.
"""

import ast
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

PORTS = ("pure", "linen", "nnx", "equinox")
SHARED = (
    "gru/checks",
    "gru/recurrence",
    "gru/initializers",
    "parameters/layouts",
    "parameters/record",
)
#: The ports and kernels that judge a file: of a port, its own; of the fused kernel,
#: plain JAX's; else all, on the stock kernel.
VERIFIED = {
    **{f"impls/{port}.py": ((port,), (None, "fused")) for port in PORTS},
    **{f"common/{name}.py": (PORTS, (None,)) for name in SHARED},
    "common/gru/fused.py": (("pure",), ("fused",)),
}
#: What the judge `tests` leaves out: scripts outside the package.
LEFT_OUT = ("bench/studies/",)

#: A line and a column.
Place = tuple[int, int]


def plan(judge: str, session: str, number: str, seed: str = "0") -> None:
    """Choose a random sample of sites of a judge's files, and one change of each."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB

    files = files_of(judge)
    left_out = {str(file): places_left_out(file) for file in files}
    database = WorkDB(session, WorkDB.Mode.create)
    init(files, database, {})

    changes_by_site = defaultdict(list)
    for item in database.work_items:
        (mutation,) = item.mutations
        file = str(mutation.module_path)
        place = tuple(mutation.start_pos)
        kind = mutation.operator_name.partition("_")[0]
        if not any(start <= place < end for start, end in left_out[file]):
            changes_by_site[file, place, kind].append(item)

    rng = random.Random(int(seed))
    sample = rng.sample(sorted(changes_by_site), int(number))
    database.clear()
    database.add_work_items(rng.choice(changes_by_site[site]) for site in sample)
    require_that_unchanged_code_passes(judge, {file for file, _, _ in sample})
    print(f"{number} of {len(changes_by_site)} sites")


def files_of(judge: str) -> list[Path]:
    """The files that a judge judges."""
    if judge == "verify":
        return [Path(file) for file in VERIFIED]
    files = [*Path("bench").rglob("*.py"), *Path("common").rglob("*.py")]
    return sorted(file for file in files if not file.as_posix().startswith(LEFT_OUT))


def places_left_out(file: Path) -> list[tuple[Place, Place]]:
    """Where annotations and what is raised begin and end."""
    nodes = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            nodes.append(node)
        for name in ("returns", "annotation"):
            annotation = getattr(node, name, None)
            if annotation is not None:
                nodes.append(annotation)
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes]


def require_that_unchanged_code_passes(by: str, files: Iterable[str]) -> None:
    """End unless a judge passes files as they are: else it would notice any change."""
    if by == "verify":
        judged = {VERIFIED[file]: verify(file) for file in files}
    else:
        rooms = {room_of(file) for file in files}
        judged = {room: run_tests(room) for room in sorted(rooms)}
    failed = [name for name, exit_code in judged.items() if exit_code]
    if failed:
        sys.exit(f"the unchanged code does not pass: {failed}")


def judge(by: str) -> int:
    """The exit code of what judges the changed file."""
    command = ["git", "diff", "--name-only", "HEAD", "--", "bench", "common", "impls"]
    changed = subprocess.run(command, capture_output=True, text=True, check=True)
    (file,) = changed.stdout.splitlines()
    return verify(file) if by == "verify" else run_tests(room_of(file))


def room_of(file: str) -> str:
    """The folder of the tests of a file's room."""
    for room in Path(file).parents:
        if Path("tests", room).is_dir():
            return f"tests/{room}"
    raise ValueError(f"{file} has no tests")


def run_tests(room: str) -> int:
    """The exit code of the tests of a room."""
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", room]
    return subprocess.run(command).returncode


def verify(file: str) -> int:
    """1 as soon as a port that the file belongs to fails a check, else 0."""
    from trigru.bench.proving.messages import PortId
    from trigru.bench.proving.questions import expand, find
    from trigru.common.equality.checks import CHECKS, DTYPES
    from trigru.common.equality.verification import Examiner

    ports, kernels = VERIFIED[file]
    subjects = []
    for kernel in kernels:
        for port in ports:
            subjects.append(PortId(port, kernel))
    questions = expand(subjects, DTYPES, CHECKS)
    random.Random(0).shuffle(questions)
    examiner = Examiner(shrink=False)
    for question in questions:
        if not examiner.ask(*find(question)).passed:
            return 1
    return 0


def report(*sessions: str) -> None:
    """Print the score with its 95 % interval, and each survivor.

    Of a survivor, its file and change are printed, and why nothing asks for it. Those
    of which `survivors.json` says that they change nothing do not count.
    """
    from cosmic_ray.work_db import WorkDB
    from scipy.stats import binomtest

    reasons_file = Path(__file__).with_name("survivors.json")
    reasons = json.loads(reasons_file.read_text(encoding="utf-8"))
    noticed = 0
    survivors = []
    for session in sessions:
        database = WorkDB(session, WorkDB.Mode.open)
        files = {}
        for item in database.work_items:
            files[item.job_id] = str(item.mutations[0].module_path)
        for job, result in database.results:
            change = change_of(result.diff)
            if result.is_killed:
                noticed += is_judged(result)
            elif change not in reasons["changes nothing"]:
                survivors.append((files[job], change))

    total = noticed + len(survivors)
    low, high = binomtest(noticed, total).proportion_ci(method="wilson")
    print(f"{noticed} of {total} noticed [{low:.1%}, {high:.1%}]")
    for file, change in sorted(survivors):
        print(f"{file}: {change}: {reasons['not asked'].get(change, 'UNEXPLAINED')}")


def is_judged(result) -> bool:
    """Whether the changed code could be judged: cosmic-ray could make the change."""
    from cosmic_ray.work_item import TestOutcome

    return result.test_outcome != TestOutcome.INCOMPETENT


def change_of(diff: str) -> str:
    """The lines that were removed and added, in one."""
    words = []
    for line in diff.splitlines():
        is_name = line.startswith(("+++", "---"))
        if line.startswith(("+", "-")) and not is_name and line[1:].strip():
            words += line.split()
    return " ".join(words)


if __name__ == "__main__":
    commands = {"plan": plan, "judge": judge, "report": report}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
