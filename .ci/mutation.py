"""Mutation testing with cosmic-ray: do `trigru verify` and the tests notice small changes of the code?

.venv/bin/uv sync --group mutation
.venv/bin/python .ci/mutation.py plan verify SESSION 540 [SEED]       in a clone, whose files are changed meanwhile
.venv/bin/cosmic-ray exec .ci/mutation-verify.toml SESSION            goes on where it was ended; takes hours
.venv/bin/python .ci/mutation.py report SESSION...                    the score, and the survivors

A site is a place in the code and a kind of change. Of each site in the sample, one change is made: a number by one more
or less, a comparison or an operator for another, `and` for `or`, a condition negated, a decorator removed, a loop that
does not run. Annotations, docstrings and messages are left out. There are two judges:

- `verify`: `trigru verify` of the ports that the file belongs to, stock or fused, and nothing else;
- `tests`: over `bench` and `common`, the tests that run the changed line. They are recorded once, before the plan, by
  `.venv/bin/pytest -n 0 --cov=bench --cov=common --cov-context=test`.

A survivor stands in `survivors.json` with the reason; those that change nothing are not counted.
"""

import ast
import json
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

#: The options of `trigru verify` for a file: of a port, its own cell and the fused kernel; of what is shared, none.
VERIFIED = {
    **{
        f"impls/{name}.py": (f"--port={name}", "--kernel=stock", "--kernel=fused")
        for name in ("pure", "linen", "nnx", "equinox")
    },
    "common/gru/fused.py": ("--port=pure", "--kernel=fused"),
    **{f"common/gru/{name}.py": () for name in ("recurrence", "initializers")},
    **{f"common/parameters/{name}.py": () for name in ("layouts", "record")},
}
#: Why a mutant is not noticed, by the line that was changed and what it became: because it changes nothing, or because
#: nothing asks for what it changes.
EXPLAINED = Path(__file__).with_name("survivors.json")
CHANGES_NOTHING, NOT_ASKED = "changes nothing", "not asked"
#: What the judge `tests` leaves out: scripts outside the package, and what needs libraries that are not installed.
LEFT_OUT = "bench/studies/", "bench/arms/torch_gru.py"


def plan(judge: str, session: str, number: int, seed: int = 0) -> None:
    """Choose a random sample of sites of the files of a judge, and one mutant of each."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB

    files = list(VERIFIED)
    if judge == "tests":
        paths = (path.as_posix() for folder in ("bench", "common") for path in Path(folder).rglob("*.py"))
        files = sorted(path for path in paths if not path.startswith(LEFT_OUT))
    rng = random.Random(seed)
    database = WorkDB(session, WorkDB.Mode.create)
    init([Path(file) for file in files], database, {})
    sites = defaultdict(list)
    for item in database.work_items:
        (mutation,) = item.mutations
        file = str(mutation.module_path)
        if not any(start <= tuple(mutation.start_pos) < end for start, end in left_out(file)):
            sites[file, mutation.start_pos, mutation.operator_name.partition("_")[0]].append(item)
    database.clear()
    some = rng.sample(sorted(sites), number)
    database.add_work_items(rng.choice(sites[site]) for site in some)
    print(f"{number} of {len(sites)} sites")


def judge(by: str) -> int:
    """The exit code of what judges the changed file.

    A test whose fixture runs the changed line stands for all tests of its file, which may share the fixture; where a
    line runs at import, all tests of its room judge it.
    """
    from coverage import CoverageData

    command = ["git", "diff", "-U0", "--no-prefix", "HEAD", "--", "bench", "common", "impls"]
    diff = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"^--- (.+)\n.*\n@@ -(\d+)", diff.stdout, re.MULTILINE)
    assert found, "no file is changed"
    file, line = found[1], int(found[2])
    if by == "verify":
        trigru = Path(sys.executable).with_name("trigru")
        return subprocess.run([trigru, "verify", "--anew", *VERIFIED.get(file, ())]).returncode
    recorded = CoverageData(".coverage")
    recorded.read()
    runs = [run.rpartition("|") for run in recorded.contexts_by_lineno(str(Path(file).resolve())).get(line, ()) if run]
    tests = {test if phase == "run" else test.partition("::")[0] for test, _, phase in runs}
    room = next(f"tests/{room}" for room in Path(file).parents if Path("tests", room).is_dir())
    return subprocess.run([sys.executable, "-m", "pytest", "-n0", "-q", "-x", *(sorted(tests) or [room])]).returncode


def report(*sessions: str) -> None:
    """Print the score of each file, its 95 % interval over all, and the survivors with what explains them."""
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import TestOutcome
    from scipy.stats import binomtest

    explained = json.loads(EXPLAINED.read_text())
    killed, survived, equal, stillborn = Counter(), defaultdict(list), 0, 0
    for session in sessions:
        database = WorkDB(session, WorkDB.Mode.open)
        files = {item.job_id: str(item.mutations[0].module_path) for item in database.work_items}
        for job, result in database.results:
            change = change_of(result.diff)
            if result.test_outcome == TestOutcome.INCOMPETENT:
                stillborn += 1
            elif result.is_killed:
                killed[files[job]] += 1
            elif change in explained[CHANGES_NOTHING]:
                equal += 1
            else:
                survived[files[job]].append(change)
    for file in sorted({*killed, *survived}):
        print(f"{file}: {killed[file]} of {killed[file] + len(survived[file])} noticed")
    noticed, missed = killed.total(), sum(map(len, survived.values()))
    low, high = binomtest(noticed, noticed + missed).proportion_ci(method="wilson")
    print(f"all: {noticed} of {noticed + missed} noticed [{low:.1%}, {high:.1%}]")
    print(f"not counted: {equal} that change nothing, and {stillborn} that do not compile")
    for file, changes in survived.items():
        for change in sorted(changes):
            print(f"{file}: {change}: {explained[NOT_ASKED].get(change, 'UNEXPLAINED')}")


def change_of(diff: str) -> str:
    """The lines that were removed and added, in one."""
    lines = (line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
    return " ".join(" ".join(line.split()) for line in lines if line[1:].strip())


@cache
def left_out(file: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The places of annotations and of what is raised."""
    nodes = list(ast.walk(ast.parse(Path(file).read_text())))
    left = [node for node in nodes if isinstance(node, ast.Raise)]
    left += [inner for node in nodes for name in ("returns", "annotation") if (inner := getattr(node, name, None))]
    return [((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)) for node in left]


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "plan":
        plan(*arguments[:2], *map(int, arguments[2:]))
    elif command == "report":
        report(*arguments)
    else:
        sys.exit(judge(command))
