"""Contradictions: what a file of results claims, and its other records or this version do not bear out.

The file's checksum shows whether somebody changed it. Ratios, intervals, floors and verdicts are computed from the
samples. What cannot be computed, as a machine or a date, is the word of the file.
"""

from collections.abc import Iterator
from itertools import chain

from msgspec.structs import replace

from ...common.gru.kernels import STOCK
from ...impls import get_port, own_ports, port_names, unavailable
from ..arms.arms import BASELINE, expand
from ..results.arm import Arm
from ..results.proof import contradictions, passes
from ..results.run import Run, Timed

#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {"forward": ("styles",), "gradient": ("styles",), "train_step": ("styles",), "step": ("step",)}


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    arms = {arm.id: arm for arm in run.begun.arms}
    timed = [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]
    for sentence in chain(_arms(run), _numbers(run, timed), _proof(run, timed)):
        raise ValueError(sentence)


def _arms(run: Run) -> Iterator[str]:
    """Each arm is one of the plan; of peers, and of ports that are not here, any call style may be."""
    plan = run.plan
    here = tuple(name for name in plan.ports if name in own_ports() and not unavailable(name))
    styles = plan.styles or tuple({style.name for name in here for style in get_port(name).call_styles})
    planned = {arm.id: arm for arm in expand(replace(plan, ports=here, peers=(), styles=styles))}
    groups = {arm.group for arm in planned.values()}
    for name in {*plan.peers} & {*port_names()}:
        yield f"the plan has {name} as a peer, which is a port"
    for arm in run.begun.arms:
        if known := planned.get(arm.id):
            if replace(arm, labels=known.labels) != known or {*arm.labels} != {*known.labels}:
                yield f"{arm.id} is not what the plan has under its name"
        elif (
            (arm.style and arm.port in (BASELINE[0], *here))
            or arm.group not in groups
            or arm.port not in (*plan.ports, *plan.peers)
            or (arm.role, arm.copy) != ("arm", 1)
            or arm.kernel not in (STOCK, arm.division)
            or arm.devices not in plan.devices
            or (arm.devices == 1) == bool(arm.way)
        ):
            yield f"{arm.id} is not what the plan asked for"


def _numbers(run: Run, timed: list[tuple[Arm, Timed]]) -> Iterator[str]:
    """An arm with a number agreed with the oracle, on the machine of the run."""
    machine = run.machine
    for arm, t in timed:
        if arm.port in run.plan.peers:
            continue
        if t.gate is None:
            yield f"{arm.id} has a number, but its first results were not compared with the oracle"
        if (t.backend, t.device) != (machine.backend, machine.device):
            yield f"{arm.id} ran on {t.device} ({t.backend}), and its process on {machine.device}"


def _proof(run: Run, timed: list[tuple[Arm, Timed]]) -> Iterator[str]:
    """A proof was made where the samples were, and covers what has a number, in float64, also on the stock kernel."""
    begun, machine = run.begun, run.machine
    if begun.equality is None:
        return
    made = (begun.backend, begun.versions or machine.versions, begun.commit or machine.commit)
    if run.started and made != (machine.backend, machine.versions, machine.commit):
        yield "its proof was made on another backend, with other versions or another commit than its samples"
    yield from contradictions(begun.equality)
    failed = {(m.port, m.kernel) for m in begun.equality if not passes(m)}
    proven = {(m.port, m.kernel, m.check) for m in begun.equality if m.dtype == "float64" and passes(m)}
    for arm, _ in timed:
        for kernel in () if arm.port in run.plan.peers else (STOCK, arm.kernel):
            if (arm.port, kernel) in failed:
                yield f"{arm.id} has a number, but was not proven equal"
            # the checks of whole proofs, now and in earlier files, or those of a first look
            if not {(arm.port, kernel, check) for check in ("contract", "sequence", *PHASE_CHECKS[arm.phase])} & proven:
                yield f"{arm.id} has a number, but no proof in float64 of what was timed"
