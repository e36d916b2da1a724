"""What a reader has to heed of an answer: what failed, how sure it is, and what was
checked.
"""

from ...common.errors import listed
from ...common.gru.kernels import STOCK
from ...impls import get_port
from ..analysis.answer import COMPARED, Answer
from ..results.proof import Proof
from .naming import INTERRUPTED, JITS, REBUILT, is_here, load_warnings, name_of
from .numbers import count

MOST_UNTIMED = 3  # so many arms without a number are named
#: What stands below a table in which some are marked.
STAR = (
    "*: the fastest, and all that cannot be told apart from it (95 % intervals). "
    "2.0x: times as long as the fastest, as measured side by side. Where a time varied "
    "little, even 1.03x can be told apart."
)


#: What a call does, by phase.
CALLS = {
    "step": "One step is one time step of the GRU, from a state that is passed in.",
    "train_step": (
        "A call of training is the loss over all time steps, its gradient, and an "
        "update by Adam."
    ),
}


def title_of(answer: Answer) -> str:
    """What was compared, in a line."""
    names = []
    for port in answer.ports:
        names.append(get_port(port).title if is_here(port) else port)
    return f"The same GRU in {listed(names)}" if names else "The same GRU, timed"


def compared_lines(answer: Answer) -> list[str]:
    """What is compared: what a call does, and how each framework is called."""
    phases = {situation.phase for situation in answer.situations}
    lines = [text for phase, text in CALLS.items() if phase in phases]
    documented = []
    rebuilt = []
    for port in answer.ports:
        if port in JITS:
            documented.append(f"`{JITS[port]}` in {name_of(port)}")
            rebuilt.append(f"`{REBUILT[port]}` in {name_of(port)}")
    if not documented:
        return lines
    return [
        *lines,
        f"As documented: {', '.join(documented)}.",
        "In functional style: `jax.jit` in all, around a function of (params, x) that "
        f"puts the model together from its parameters: {', '.join(rebuilt)}.",
        "Plain JAX is the same GRU without a framework. It is no lower bound.",
    ]


def warnings(answer: Answer) -> list[str]:
    """What failed, what has no number, and whether the machine was busy before."""
    lines = []
    if not answer.run.trigru.complete:
        lines.append(INTERRUPTED)
    for proof in answer.proofs or ():
        if not proof.is_equal:
            checks = ", ".join(proof.failed)
            lines.append(
                f"FAILED: {_proven(proof)} is not proven equal ({checks}); it has no "
                "number."
            )
    shown = [row for situation in answer.situations for row in situation.rows]
    if any(row.is_noisy for row in shown):
        lines += load_warnings(answer.run.trigru)
    for reason in answer.missing.values():
        lines.append(f"Not here: {reason}")
    return lines + _untimed_lines(answer)


def _untimed_lines(answer: Answer) -> list[str]:
    lines = []
    for name, (reason, rows) in answer.untimed.items():
        lines.append(f"Without a number: {name}, {count(rows, 'time')}: {reason}")
    more = len(lines) - MOST_UNTIMED
    if more > 0:
        return [*lines[:MOST_UNTIMED], f"... and {more} more (--details)."]
    return lines


def sure_lines(answer: Answer) -> list[str]:
    """What marks and brackets mean, and whether the run can tell frameworks apart."""
    has_star = False
    apart = set()
    for situation in answer.situations:
        for row in situation.rows:
            for label in COMPARED:
                ranking = row.rankings.get(label)
                if ranking is None:
                    continue
                has_star |= bool(ranking.best)
                apart |= set(ranking.not_compared.items())
    lines = []
    if has_star:
        lines.append(STAR)
    if answer.processes == 1:
        lines.append(
            "All was timed in one process. Processes differ, so small differences may "
            "be chance."
        )
    in_brackets = []
    for port, reason in apart:
        in_brackets.append(f"In brackets: {name_of(port)} is not compared, {reason}.")
    return lines + sorted(in_brackets)


def proof_line(answer: Answer) -> str:
    """What was checked before timing; "" where no framework passed."""
    if answer.proofs is None:
        return (
            "Equality was not verified before timing. The first results of each "
            "call were compared with a reference in NumPy."
        )
    equal = [proof for proof in answer.proofs if proof.is_equal]
    if not equal:
        return ""
    names = listed(_proven(proof) for proof in equal)
    checks = count(sum(proof.measurements for proof in equal), "check")
    line = f"Before timing, {names} passed {checks} against a reference in NumPy."
    if any(proof.port == "nnx" for proof in equal):
        line = f"{line} The bias that nnx.GRUCell lacks was added."
    return line


def _proven(proof: Proof) -> str:
    name = name_of(proof.port)
    return name if proof.kernel == STOCK else f"{name} with {proof.kernel}"
