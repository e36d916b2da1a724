"""Mutation testing with cosmic-ray: do `trigru verify` and the tests notice small changes of the code?

.venv/bin/uv sync --group mutation
.venv/bin/python .ci/mutation.py plan verify SESSION 540 [SEED]       in a clone, whose files are changed meanwhile
.venv/bin/cosmic-ray exec .ci/mutation-verify.toml SESSION            goes on where it was ended; takes hours
.venv/bin/python .ci/mutation.py report SESSION...                    the score, and the survivors

A site is a place in the code and a kind of change. Of each site in the sample, one change is made: a number by one more
or less, a comparison or an operator for another, `and` for `or`, a condition negated, a decorator removed, a loop that
does not run. Annotations, docstrings and messages are left out, and so is what Python does not compile. There are two
judges:

- `verify`: what `trigru verify` checks of the ports that the file belongs to, stock or fused, and nothing else;
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
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

STOCK, FUSED = "stock", "fused"
SHARED = (("pure", STOCK), ("linen", STOCK), ("nnx", STOCK), ("equinox", STOCK))
#: What `verify` checks for a file: of a port, its own cell and the fused kernel, everything; of what is shared, the
#: first everything, and the others all but the rows of the contract.
VERIFIED = {
    **{f"impls/{name}.py": ((name, STOCK), (name, FUSED)) for name, _ in SHARED},
    "common/gru/fused.py": (("pure", FUSED),),
    "common/gru/inputs.py": SHARED,
    "common/gru/initializers.py": SHARED,
    "common/parameters/layouts.py": SHARED,
    "common/parameters/record.py": SHARED,
}
#: Why a mutant is not noticed, by the line that was changed and what it became: because it changes nothing, or because
#: nothing asks for what it changes.
EXPLAINED = Path(__file__).with_name("survivors.json")
CHANGES_NOTHING, NOT_ASKED = "changes nothing", "not asked"
#: What the judge `tests` leaves out: scripts outside the package, and what needs libraries that are not installed.
LEFT_OUT = "bench/studies/", "bench/arms/peers/"


def files_of(judge: str) -> list[str]:
    """The files that are changed for a judge."""
    if judge == "verify":
        return list(VERIFIED)
    found = (path.as_posix() for folder in ("bench", "common") for path in Path(folder).rglob("*.py"))
    return sorted(file for file in found if not file.startswith(LEFT_OUT))


def plan(judge: str, session: str, number: int, seed: int = 0) -> None:
    """Choose a random sample of sites, and one mutant of each."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB

    chosen, rng = random.Random(seed), random.Random(seed)
    database = WorkDB(session, WorkDB.Mode.create)
    init([Path(file) for file in files_of(judge)], database, {})
    sites = defaultdict(list)
    for item in database.work_items:
        (mutation,) = item.mutations
        file = str(mutation.module_path)
        if not _is_left_out(file, mutation.start_pos):
            sites[file, mutation.start_pos, mutation.operator_name.partition("_")[0]].append(item)
    database.clear()
    some = chosen.sample(sorted(sites), number)
    database.add_work_items(_one_of(sites[site], rng) for site in some)
    print(f"{number} of {len(sites)} sites")


def judge_by_verify() -> None:
    """Check the ports that the changed file belongs to, and exit with 1 at the first failure."""
    from trigru.bench.proving.prover import programs_folder
    from trigru.common.equality.checks import CHECKS, DTYPES
    from trigru.common.equality.contract.factors import is_compiled
    from trigru.common.equality.verification import Examiner, questions
    from trigru.common.port.compilation import LEAST_KEPT_S, programs_kept_in
    from trigru.common.port.protocol import WithKernel
    from trigru.impls import get_port

    judges = VERIFIED[_changed_line()[0]]
    examiner = Examiner(shrink=False)
    with programs_kept_in(programs_folder(), LEAST_KEPT_S):
        for name, kernel in judges:
            port = get_port(name) if kernel == STOCK else WithKernel(get_port(name), kernel)
            whole = judges is not SHARED or name == SHARED[0][0]
            checks = [check for check in CHECKS if check.rows is None or whole]
            asked = questions([port], DTYPES, checks)
            for question in sorted(asked, key=lambda question: is_compiled(question.row)):
                for measurement in examiner.ask(question):
                    if not measurement.passed:
                        print(measurement)
                        sys.exit(1)


def judge_by_tests() -> None:
    """Run the tests that run the changed line, and exit with 1 at the first failure."""
    chosen = tests_of(*_changed_line(), ".coverage")
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", *chosen]).returncode)


def tests_of(file: str, line: int, recorded: str) -> list[str]:
    """The tests that run a statement; of one that runs at import, those that run its function, class or file.

    A test whose fixture runs it stands for all tests of its file, which may share the fixture.
    """
    from coverage import CoverageData

    data = CoverageData(recorded)
    data.read()
    contexts = data.contexts_by_lineno(str(Path(file).resolve()))
    shown = subprocess.run(["git", "show", f"HEAD:./{file}"], capture_output=True, text=True, check=True)
    nodes = [node for node in ast.walk(ast.parse(shown.stdout)) if isinstance(node, ast.stmt)]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    inside = {number for node in functions for number in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}
    for lines in _around(nodes, line):
        found = {context for number in inside.intersection(lines) for context in contexts.get(number, ())} - {""}
        if found:
            names = (context.rpartition("|") for context in found)
            return sorted({test if phase == "run" else test.partition("::")[0] for test, _, phase in names})
    return [f"tests/{Path(file).parent}"]


def _around(nodes: list[ast.stmt], line: int) -> Iterator[range]:
    """The lines of the statement at a line, without those of its body; then those of what is around it; then all."""
    for node in sorted(nodes, key=lambda node: (node.end_lineno or 0) - node.lineno):
        first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or node.lineno
        if first <= line <= last:
            body = None if isinstance(node, ast.FunctionDef | ast.ClassDef) else getattr(node, "body", None)
            yield range(first, body[0].lineno if body else last + 1)
    yield range(1, 1 + max(node.end_lineno or 0 for node in nodes))


def _changed_line() -> tuple[str, int]:
    """The changed file, and the line of its first change."""
    command = ["git", "diff", "--unified=0", "--no-prefix", "HEAD", "--", "bench", "common", "impls"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^--- (.+)\n.*\n@@ -(\d+)", shown, re.MULTILINE)
    assert found, "no file is changed"
    return found[1], int(found[2])


def report(*sessions: str) -> None:
    """Print the score of each file, its 95 % interval over all, and the survivors with what explains them."""
    from cosmic_ray.work_db import WorkDB
    from cosmic_ray.work_item import TestOutcome
    from scipy.stats import binomtest

    explained = json.loads(EXPLAINED.read_text())
    killed, survived, equal, stillborn = Counter(), defaultdict(list), Counter(), 0
    for session in sessions:
        database = WorkDB(session, WorkDB.Mode.open)
        files = {item.job_id: str(item.mutations[0].module_path) for item in database.work_items}
        for job, result in database.results:
            change = " ".join(_change(result.diff))
            if result.test_outcome == TestOutcome.INCOMPETENT:
                stillborn += 1
            elif result.is_killed:
                killed[files[job]] += 1
            elif change in explained[CHANGES_NOTHING]:
                equal[files[job]] += 1
            else:
                survived[files[job]].append(change)
    for file in sorted({*killed, *survived}):
        print(f"{file}: {killed[file]} of {killed[file] + len(survived[file])} noticed")
    noticed, missed = killed.total(), sum(map(len, survived.values()))
    low, high = binomtest(noticed, noticed + missed).proportion_ci(method="wilson")
    print(f"all: {noticed} of {noticed + missed} noticed [{low:.1%}, {high:.1%}]")
    print(f"not counted: {equal.total()} that change nothing, and {stillborn} that do not compile")
    for file, changes in survived.items():
        for change in sorted(changes):
            print(f"{file}: {change}: {explained[NOT_ASKED].get(change, 'UNEXPLAINED')}")


def _one_of(mutants: list[Any], rng: random.Random) -> Any:
    """One that compiles, at random."""
    ordered = sorted(mutants, key=lambda item: (item.mutations[0].operator_name, item.mutations[0].occurrence))
    rng.shuffle(ordered)
    return next((item for item in ordered if _compiles(item.mutations[0])), ordered[0])


def _compiles(mutation: Any) -> bool:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    operator = get_operator(mutation.operator_name)(**(mutation.operator_args or {}))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(mutate_code(Path(mutation.module_path).read_text(), operator, mutation.occurrence), "", "exec")
    except SyntaxError:
        return False
    return True


def _change(diff: str) -> list[str]:
    """The lines that were removed and added."""
    lines = (line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
    return [" ".join(line.split()) for line in lines if line[1:].strip()]


def _is_left_out(file: str, position: tuple[int, int]) -> bool:
    """Whether a place is within an annotation, or within what is raised."""
    return any(start <= tuple(position) < end for start, end in _left_out(file))


@cache
def _left_out(file: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    nodes = []
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(node, ast.Raise):
            nodes.append(node)
        if isinstance(node, ast.FunctionDef) and node.returns:
            nodes.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            nodes.append(node.annotation)
    return [((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)) for node in nodes]


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "plan":
        plan(*arguments[:2], *map(int, arguments[2:]))
    else:
        {"verify": judge_by_verify, "tests": judge_by_tests, "report": report}[command](*arguments)
