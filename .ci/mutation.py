"""Does `trigru verify` notice small changes of the ports, and of what they share? Mutation testing with cosmic-ray.

.venv/bin/uv sync --group mutation
.venv/bin/python .ci/mutation.py plan SESSION 540                in a clone, whose files are changed meanwhile
.venv/bin/cosmic-ray exec .ci/mutation.toml SESSION              goes on where it was ended; takes hours
.venv/bin/python .ci/mutation.py report SESSION...               the score, and the survivors

A site is a place in the code and a kind of change. Of each site in the sample, one change is made: a number by one more
or less, a comparison or an operator for another, `and` for `or`, a condition negated, a decorator removed, a loop that
does not run. Annotations, docstrings and messages are left out. A mutant is judged by what `trigru verify` asks of the
ports that the file belongs to, stock or fused, and by nothing else.
"""

import ast
import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

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
#: Why a survivor is none, by the line that was changed and what it became.
EXPLAINED = Path(__file__).with_name("survivors.json")


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
        key = lambda item: (item.mutations[0].operator_name, item.mutations[0].occurrence)  # noqa: E731
        database.add_work_items(rng.choice(sorted(found[site], key=key)) for site in some)
        print(f"{file}: {share} of {len(found)} sites")


def judge() -> None:
    """Ask the ports that the changed file belongs to, and exit with 1 at the first failure."""
    os.environ["XLA_FLAGS"] = " ".join(_hasty_flags())
    from trigru.bench.proving.prover import programs_folder
    from trigru.common.equality.checks import DTYPES
    from trigru.common.equality.verification import Examiner, questions, usual_checks
    from trigru.common.port.compilation import LEAST_KEPT_S, in_haste, programs_kept_in
    from trigru.common.port.protocol import WithKernel
    from trigru.impls import get_port

    changed = subprocess.run(["git", "diff", "--name-only"], capture_output=True, text=True, check=True).stdout.split()
    (judges,) = (judges for file, judges in JUDGES.items() if file in changed)
    examiner = Examiner(shrink=False)
    with in_haste(), programs_kept_in(programs_folder(), LEAST_KEPT_S):
        for name, kernel in judges:
            port = get_port(name) if kernel == STOCK else WithKernel(get_port(name), kernel)
            whole = judges is not SHARED or name == SHARED[0][0]
            checks = [check for check in usual_checks() if check.rows is None or whole]
            for question in questions([port], DTYPES, checks):
                for measurement in examiner.ask(question):
                    if not measurement.passed:
                        print(measurement)
                        sys.exit(1)


def report(*sessions: str) -> None:
    """Print the score of each file, its 95 % interval over all, and the survivors with what explains them."""
    from cosmic_ray.work_db import WorkDB
    from scipy.stats import binomtest

    explained = json.loads(EXPLAINED.read_text()) if EXPLAINED.exists() else {}
    killed, survived, equivalent = Counter(), defaultdict(list), Counter()
    for session in sessions:
        database = WorkDB(session, WorkDB.Mode.open)
        files = {item.job_id: str(item.mutations[0].module_path) for item in database.work_items}
        for job, result in database.results:
            change = " ".join(_change(result.diff))
            if result.is_killed:
                killed[files[job]] += 1
            elif change in explained:
                equivalent[files[job]] += 1
            else:
                survived[files[job]].append(change)
    print("| file | noticed | not noticed | no difference |\n| --- | ---: | ---: | ---: |")
    for file in JUDGES:
        print(f"| `{file}` | {killed[file]} | {len(survived[file])} | {equivalent[file]} |")
    noticed, missed = killed.total(), sum(map(len, survived.values()))
    low, high = binomtest(noticed, noticed + missed).proportion_ci(method="wilson")
    share = noticed / (noticed + missed)
    print(f"\n{noticed} of {noticed + missed} noticed: {share:.1%} [{low:.1%}, {high:.1%}].")
    for file, changes in survived.items():
        print(f"\n{file}:", *sorted(changes), sep="\n  ")


def _change(diff: str) -> list[str]:
    """The lines that were removed and added."""
    lines = (line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---"))
    return [" ".join(line.split()) for line in lines if line[1:].strip()]


def _hasty_flags() -> tuple[str, ...]:
    from trigru.bench.proving.prover import HASTY_FLAGS

    return HASTY_FLAGS


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
        plan(arguments[0], int(arguments[1]))
    else:
        {"judge": judge, "report": report}[command](*arguments)
