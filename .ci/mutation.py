"""Does `trigru verify` notice small changes of the ports, and of what they share? Mutation testing with cosmic-ray.

.venv/bin/uv sync --group mutation
.venv/bin/python .ci/mutation.py plan SESSION 540 [SEED]              in a clone, whose files are changed meanwhile
.venv/bin/cosmic-ray exec .ci/mutation.toml SESSION              goes on where it was ended; takes hours
.venv/bin/python .ci/mutation.py report SESSION...                    the score, and the survivors

A site is a place in the code and a kind of change. Of each site in the sample, one change is made: a number by one more
or less, a comparison or an operator for another, `and` for `or`, a condition negated, a decorator removed, a loop that
does not run. Annotations, docstrings and messages are left out, and so is what Python does not compile. A mutant is
judged by what `trigru verify` asks of the ports that the file belongs to, stock or fused, and by nothing else. What is
not noticed stands in `survivors.json` with the reason; what changes nothing is not counted.
"""

import ast
import json
import random
import subprocess
import sys
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]

STOCK, FUSED = "stock", "fused"
SHARED = (("pure", STOCK), ("linen", STOCK), ("nnx", STOCK), ("equinox", STOCK))
#: Who is asked about a file: of a port, its own cell and the fused kernel, everything; of what is shared, the first
#: everything, and the others all but the rows of the contract.
JUDGES = {
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


def plan(session: str, number: int, seed: int = 0) -> None:
    """Choose a random sample of sites, of each file as many as its share, and one mutant of each site."""
    from cosmic_ray.commands.init import init
    from cosmic_ray.work_db import WorkDB

    chosen, rng = random.Random(seed), random.Random(seed)
    database = WorkDB(session, WorkDB.Mode.create)
    init([Path(file) for file in JUDGES], database, {})
    sites = defaultdict(lambda: defaultdict(list))
    for item in database.work_items:
        (mutation,) = item.mutations
        file = str(mutation.module_path)
        if not _is_left_out(file, mutation.start_pos):
            kind = mutation.operator_name.partition("_")[0]
            sites[file][mutation.start_pos, kind].append(item)
    total = sum(map(len, sites.values()))
    database.clear()
    for file, found in sites.items():
        share = min(len(found), round(number * len(found) / total) + 1)
        some = chosen.sample(sorted(found), share)
        database.add_work_items(_one_of(found[site], rng) for site in some)
        print(f"{file}: {share} of {len(found)} sites")


def judge() -> None:
    """Ask the ports that the changed file belongs to, and exit with 1 at the first failure."""
    from trigru.bench.proving.prover import programs_folder
    from trigru.common.equality.checks import CHECKS, DTYPES
    from trigru.common.equality.verification import Examiner, questions
    from trigru.common.port.compilation import LEAST_KEPT_S, programs_kept_in
    from trigru.common.port.protocol import WithKernel
    from trigru.impls import get_port

    changed = subprocess.run(["git", "diff", "--name-only"], capture_output=True, text=True, check=True).stdout.split()
    (judges,) = (judges for file, judges in JUDGES.items() if file in changed)
    examiner = Examiner(shrink=False)
    with programs_kept_in(programs_folder(), LEAST_KEPT_S):
        for name, kernel in judges:
            port = get_port(name) if kernel == STOCK else WithKernel(get_port(name), kernel)
            whole = judges is not SHARED or name == SHARED[0][0]
            checks = [check for check in CHECKS if check.rows is None or whole]
            asked = questions([port], DTYPES, checks)
            for question in sorted(asked, key=lambda question: question.compiled):
                for measurement in examiner.ask(question):
                    if not measurement.passed:
                        print(measurement)
                        sys.exit(1)


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
    for file in JUDGES:
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
    left_out = []
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(node, ast.Raise):
            left_out.append(node)
        if isinstance(node, ast.FunctionDef) and node.returns:
            left_out.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            left_out.append(node.annotation)
    return any(
        (node.lineno, node.col_offset) <= tuple(position) < (node.end_lineno, node.end_col_offset) for node in left_out
    )


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "plan":
        plan(arguments[0], *map(int, arguments[1:]))
    else:
        {"judge": judge, "report": report}[command](*arguments)
