"""Contradictions: what a file of results claims, and its other records or this version do not bear out.

Ratios, intervals, floors and verdicts are computed from the samples. What cannot be computed, as a machine or a date,
is the word of the file. Each rule is a function that yields a sentence for each contradiction; adding a rule is adding
a function to `RULES`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from math import isclose
from statistics import median

from msgspec.structs import replace

from ...common.equality.measurement import Measurement
from ...common.errors import brief
from ...common.gru.kernels import STOCK
from ...common.port.protocol import DOCUMENTED, FUNCTIONAL
from ...impls import get_port, own_ports, port_names, unavailable
from ..arms.arms import BASELINE, expand
from ..arms.workloads import SIZES, work_of, workload_of
from ..results import rules
from ..results.arm import NOT_PROVEN, Arm
from ..results.grouping import grouped
from ..results.lines import first_twice
from ..results.proof import passes
from ..results.run import Run, Timed
from ..timing.supervisor import NO_BASELINE
from . import schedule

#: What is checked of a phase that is timed, where nothing else is: the step is called directly, the others in styles.
PHASE_CHECKS = {"forward": ("styles",), "gradient": ("styles",), "train_step": ("styles",), "step": ("step",)}
#: Labels that every port of a run has in each of its groups.
BOTH = (DOCUMENTED, FUNCTIONAL)
#: No call computes so many times faster than the largest matrix product of the same run, or takes so many times as long
#: by one clock as by the other, or less than a loop of so many times fewer steps; nor moves bytes so many times faster
#: than the largest copy, which no cache holds.
_TOO_FAST, _TOO_SLOW, _CACHED = 8.0, 12.0, 50.0
#: The arrays of a model of ours that cross a jit boundary: at least those of the canonical record.
_LEAVES = range(5, 500)
#: The loops over time steps that XLA merges into none; what is unrolled has none.
_LOOPS = {"step": 0, "forward": 1, "gradient": 2, "train_step": 2}
#: What rows of the whole contract vary, among others; and in earlier versions the checks of the whole function.
_VARIED, _FUNCTION = ("entry", "phase", "carry", "lengths", "resets"), ("sequence", "step", "training")
#: The ceilings of a machine differ by no more than this factor between two processes of a run.
_UNSTEADY = 100.0
#: One program may need other temporary memory where XLA assigns buffers otherwise: up to so many bytes, or so many
#: times as much. Its matrix products are at most so many for each time step.
_SMALL, _OTHER_MEMORY, _DOTS = 2**20, 100, 64


#: The commands that measure a run, under their names in all versions, and those that measure none.
_MEASURING = ("compare", "bench")
_OTHERS = ("verify", "convert", "snapshot", "matrix", "report", "diff", "bisect")
#: Options of the former that are a fact of the plan, with what the plan has where they are not given; None where that
#: depends on other options.
_OPTIONS = {"dtype": "float32", "precision": "highest", "processes": None}


def check_evidence(run: Run) -> None:
    """Raise a ValueError with what contradicts what, if the file of a run claims more than its records bear out."""
    for rule in RULES:
        for sentence in rule(run):
            raise ValueError(sentence)


def _timed(run: Run) -> list[tuple[Arm, Timed]]:
    arms = {arm.id: arm for arm in run.begun.arms}
    return [(arms[t.arm], t) for line in run.groups_timed for t in line.timed]


def _planned(run: Run) -> dict[str, Arm]:
    """The arms that the plan allows, by id, of our ports that are here; without call styles it allows all of them."""
    own = tuple(name for name in run.plan.ports if name in own_ports() and not unavailable(name))
    styles = run.plan.styles or tuple({style.name for name in own for style in get_port(name).call_styles})
    return {arm.id: arm for arm in expand(replace(run.plan, ports=own, peers=(), styles=styles))}


def _arms(run: Run) -> Iterator[str]:
    """Each arm is one of the plan; of ports that are not ours, or not here, only the styles are not known."""
    plan, planned = run.plan, _planned(run)
    here, groups = ({arm.port for arm in planned.values()}, {arm.group for arm in planned.values()})
    for name in {*plan.peers} & {*port_names()}:
        yield f"the plan has {name} as a peer, which is a port"
    for arm in run.begun.arms:
        known = planned.get(arm.id)
        if known and arm.role != known.role:
            yield f"{arm.id} cannot be the {arm.role} of its group"
        elif known and {*arm.labels} != {*known.labels}:
            yield f"{arm.id} is called {', '.join(arm.labels) or 'nothing'}, here {', '.join(known.labels)}"
        elif known and replace(arm, labels=known.labels) != known:
            yield f"{arm.id} is not what the plan has under its name"
        elif not known and arm.port in here and arm.style:
            yield f"{arm.id} is in a call style that {arm.port} does not have, or that the plan did not ask for"
        elif not known and not (
            arm.group in groups
            and arm.port in (*plan.ports, *plan.peers)
            and (arm.role, arm.copy) == ("arm", 1)
            and arm.kernel in (STOCK, arm.division)
            and arm.devices in plan.devices
            and (arm.devices == 1) == (not arm.way)
        ):
            yield f"{arm.id} is not what the plan asked for"
    named = [
        f"{arm.group} has two call styles with one label: {arm.port} {arm.kernel} {arm.devices} {arm.way} {label}"
        for arm in run.begun.arms
        for label in arm.labels
        if label in BOTH and arm.copy == 1
    ]
    if twice := first_twice(named):
        yield twice


def _absent(run: Run) -> Iterator[str]:
    """Nothing of the plan lacks both a number and a reason why it has none."""
    plan, groups, arms = run.plan, run.groups(), run.begun.arms
    there, ids = {arm.port for arm in arms}, {arm.id for arm in arms}
    has_all = plan.styles is None or {*BOTH} & {*plan.styles}  # which every port has
    absent = [name for name in (*plan.ports, *plan.peers) if has_all and name not in there]
    absent += [name for name, arm in _planned(run).items() if arm.role != "arm" and name not in ids]
    for of_phase in grouped(arms, lambda arm: (arm.phase, arm.division)).values():
        named = {(arm.port, label) for arm in of_phase for label in BOTH if label in arm.labels}
        if plan.styles is None and of_phase[0].division == STOCK and len(plan.devices) == 1:
            named |= {(arm.port, FUNCTIONAL) for arm in of_phase if arm.port in own_ports()}
        for group, some in grouped(of_phase, lambda arm: arm.group).items():
            has = {(arm.port, label) for arm in some for label in (arm.labels if arm.style else BOTH)}
            absent += [f"{group}/{port}[{label}]" for port, label in sorted(named - has)]
    over = {arm.devices for arm in arms}
    absent += [f"{devices} devices" for devices in plan.devices if devices not in over and plan.ports]
    untimed = run.untimed
    for line in run.groups_timed:
        timed = {t.arm for t in line.timed}
        absent += [arm.id for arm in groups[line.group] if arm.id not in timed and arm.id not in untimed]
    for name in absent:
        yield f"the plan has {name}, which has neither a number nor a reason"
    if run.ended and not run.complete:
        yield f"it ended, and not all of its {plan.processes} processes measured everything"


def _reasons(run: Run) -> Iterator[str]:
    """An arm has no number beside a reason why it has none, and the reason is borne out by what the file has, too."""
    failed = {(m.port, m.kernel) for m in run.begun.equality or () if not passes(m)}
    measured = Counter(arm.id for arm, _ in _timed(run))
    for name, untimed in run.untimed.items():
        arm, reason = untimed.arm, untimed.reason
        if run.ended and measured[name]:
            yield f"{name} has a number, and a reason why it has none"
        is_proven = run.begun.equality and not {(arm.port, STOCK), (arm.port, arm.kernel)} & failed
        if is_proven and reason.startswith(NOT_PROVEN):
            yield f"{name} has no number since it is not proven equal, and its proof passes"
        compared = [a.id for a in run.groups()[arm.group] if a.role != "arm"]
        has_both = all(a not in run.untimed and measured[a] == run.plan.processes for a in compared)
        if reason == NO_BASELINE and has_both:
            yield f"{name} has no number for lack of a baseline, which was measured"


def _command(run: Run) -> Iterator[str]:
    """The plan is that of the command."""
    words = run.begun.command
    named = next((word for word in words[1:] if not word.startswith("-")), "")
    if named in _OTHERS:
        yield f"its command is trigru {named}, which measures no run"
    if named not in _MEASURING:
        return
    given = [*pairwise(words), *(word.partition("=")[::2] for word in words)]
    for name, default in _OPTIONS.items():
        planned, value = str(getattr(run.plan, name)), [default, *(v for o, v in given if o == f"--{name}" and v)][-1]
        if value not in (None, planned):
            yield f"the {name} of its plan is {planned}, and of its command {value}"
    known = [{size: getattr(workload_of(arm), field) for size, field in SIZES.items()} for arm in run.begun.arms]
    for text in (value for option, value in given if option in ("--size", "--sweep")):
        for size, value in re.findall(rf"({'|'.join(SIZES)})=(\d+)", text):
            if known and all(sizes[size] != int(value) for sizes in known):
                yield f"its command asks for {size}={value}, which no arm has"


def _admission(run: Run) -> Iterator[str]:
    """An arm with a number was compared with the oracle, or is of a peer that says how it differs; on one machine."""
    first: dict[str, Timed] = {}
    for arm, t in _timed(run):
        is_peer = arm.port in run.plan.peers
        if t.gate is None and not (is_peer and t.differs):
            yield f"{arm.id} has a number, but its first results were not compared with the oracle"
        before = first.setdefault(arm.id, t)
        if t.leaves != before.leaves or (arm.port in own_ports() and t.leaves not in _LEAVES):
            yield f"{arm.id} has {t.leaves} leaves in a process, and {before.leaves} in another"
        if is_peer or run.machine is None:
            continue
        if (t.backend, t.device) != (run.machine.backend, run.machine.device):
            yield f"{arm.id} ran on {t.device} ({t.backend}), and its process on {run.machine.device}"
        if t.clock != ("blocked" if t.backend == "cpu" else "pipelined"):
            yield f"{arm.id} was timed by the {t.clock} clock on {t.backend}"
        if arm.port in own_ports() and t.backend == "cpu" and arm.devices == 1:
            gates = (t.gate or 0.0, before.gate or 0.0)  # the same error in each process, but for the oracle's rounding
            if not min(gates) > 0 or not isclose(*gates):
                yield f"the first results of {arm.id} are others in another process, or the oracle's to the last bit"


def _machine(run: Run) -> Iterator[str]:
    """The rules of a machine, and that no process is much faster than another."""
    ports = {arm.port for arm, _ in _timed(run)}
    for machine in (started.machine for started in run.started):
        yield from rules.of_machine(machine, ports)
    for of_name in zip(*(started.ceilings.values() for started in run.started), strict=True):
        for rate in ("gemm_gflop_per_s", "copy_gbyte_per_s"):
            rates = [getattr(ceilings, rate) for ceilings in of_name]
            if max(rates) > _UNSTEADY * min(rates):
                yield f"a process finds the machine {max(rates) / min(rates):.0f} times as fast as another one"


def _programs(run: Run) -> Iterator[str]:
    """One fingerprint is of one program, and a program has the products and loops of a GRU."""
    programs = {t.program.fingerprint: t.program for _, t in _timed(run) if t.program}
    counted = ("dots", "whiles", "fusions", "transposes")
    for line in run.groups_timed:
        arms = {arm.id: arm for arm in run.groups()[line.group]}
        prints = {arms[t.arm].role: t.program.fingerprint for t in line.timed if t.program}
        if len({prints[role] for role in ("baseline", "duplicate") if role in prints}) > 1:
            yield f"the duplicate of {line.group} has another program than its baseline"
        read = {arms[t.arm].role: t.program is not None for t in line.timed}
        if len({read[role] for role in ("baseline", "duplicate") if role in read}) > 1:
            yield f"of the baseline of {line.group} and its duplicate, only one has a program"
        for t in line.timed:
            program, arm = t.program, arms[t.arm]
            if line.process and t.backend == "cpu" and (t.program or t.build):
                yield f"the program of {arm.id} was read in process {line.process}, which reads none"
            if program is None:
                continue
            same = programs[program.fingerprint]
            if any(getattr(program, n) != getattr(same, n) for n in counted):
                yield f"the program of {arm.id} is that of another arm, with other operations"
            sizes = [p.temp_bytes for p in (program, same) if p.temp_bytes is not None]
            if t.backend == "cpu" and max(sizes, default=0) > max(_SMALL, _OTHER_MEMORY * min(sizes, default=0)):
                yield f"the program of {arm.id} needs {max(sizes)} bytes, and {min(sizes)} in another place"
            if program.dots > _DOTS * (1 + workload_of(arm).time):
                yield f"the program of {arm.id} has {program.dots} matrix products"
            if program.collectives and arm.devices == 1:
                yield f"{arm.id} exchanges data, on one device"
            loops, steps = _LOOPS[arm.phase], workload_of(arm).time
            is_whole = program.whiles >= loops if program.whiles else program.dots >= min(steps, loops * steps)
            if t.backend == "cpu" and arm.port in own_ports() and not (program.dots and is_whole):
                yield f"the program of {arm.id} has too few products or loops for {steps} time steps"


def _speed(run: Run) -> Iterator[str]:
    """No call is many times faster than the machine is said to be, nor by one clock much slower than by the other."""
    for arm, t in _timed(run):
        workload, least_s = workload_of(arm), min([*t.time_s, *t.other_s])
        work = work_of(workload, arm.phase, arm.dtype)
        limits = [process.ceilings[arm.arithmetic] for process in run.started]
        flop_per_s = max(limit.gemm_gflop_per_s for limit in limits) * 1e9 * _TOO_FAST * arm.devices
        byte_per_s = max(limit.copy_gbyte_per_s for limit in limits) * 1e9 * _CACHED * arm.devices
        if work.flops > flop_per_s * least_s or work.moved_bytes > byte_per_s * least_s:
            yield f"{arm.id} computes faster than the machine can"
        loops_s = [limit.loop_step_s for limit in limits if limit.loop_step_s]
        if t.program and t.program.whiles and min(loops_s, default=0) * workload.time > least_s * _TOO_SLOW:
            yield f"{arm.id} loops faster than the machine can"
        if t.other_s and t.backend == "cpu" and not 1 / _TOO_SLOW < median(t.other_s) / median(t.time_s) < _TOO_SLOW:
            yield f"{arm.id} takes {median(t.other_s):.1e} s by one clock, and {median(t.time_s):.1e} s by the other"
        for sentence in rules.of_build(t.build) if t.build and arm.devices == 1 else ():
            yield f"{arm.id} {sentence}"


def _proof_origin(run: Run) -> Iterator[str]:
    """A proof was made where and with what the samples were taken."""
    begun, machine = run.begun, run.machine
    if begun.equality is None or machine is None:
        return
    if begun.backend != machine.backend:
        yield f"its proof was made on {begun.backend}, and its samples on {machine.backend}"
    if begun.versions not in ({}, machine.versions):
        yield "its proof was made with other versions than its samples"
    if begun.commit not in ("", machine.commit):
        yield "its proof was made with another commit than its samples"
    if "--no-proof" in begun.command:
        yield "its command has --no-proof, and it has a proof"


def _proof_content(run: Run) -> Iterator[str]:
    """The rules of measurements, and that they are of what the plan asked for."""
    found, plan = run.begun.equality or [], run.plan
    yield from rules.of_measurements(found)
    for m in found:
        if m.passed and m.port not in (BASELINE[0], *plan.ports):
            yield f"its proof is of {m.port}, which the plan did not ask for"
        if m.passed and m.kernel not in (STOCK, *plan.kernels):
            yield f"its proof is of the kernel {brief(m.kernel)}, which the plan did not ask for"


def _proof_cover(run: Run) -> Iterator[str]:
    """What has a number beside a proof was proven in float64, by checks that cover what was timed."""
    found = run.begun.equality
    if found is None:
        return
    failed = {(m.port, m.kernel) for m in found if not passes(m)}
    proven = grouped((m for m in found if m.dtype == "float64" and passes(m)), lambda m: (m.port, m.kernel))
    needed = {check for phase in run.plan.phases for check in PHASE_CHECKS[phase]}
    for arm, _ in _timed(run):
        for kernel in () if arm.port in run.plan.peers else dict.fromkeys((STOCK, arm.kernel)):
            if (arm.port, kernel) in failed:
                yield f"{arm.id} has a number, but was not proven equal"
            of_port = proven.get((arm.port, kernel), ())
            names = {m.check for m in of_port}
            if "contract" in names:
                is_covered = {*_VARIED} <= {factor for m in of_port for factor in m.levels or ()}
            else:
                is_covered = needed <= names or {*_FUNCTION} <= names
            if not is_covered:
                yield f"{arm.id} has a number, but no proof in float64 of what was timed"


def _proof_alike(run: Run) -> Iterator[str]:
    """Of each port of ours as much was measured as of the others, and of each call style that was timed something."""
    ports = own_ports()
    for kernel, found in grouped(run.begun.equality or [], lambda m: m.kernel).items():
        own = {port: of for port, of in grouped(found, lambda m: m.port).items() if port in ports}
        if any(not passes(m) for of in own.values() for m in of):
            continue  # rows that fail are measured with fewer levels
        measured = {port: {what for m in of for what in _parts_of(m)} for port, of in own.items()}
        for port, parts in measured.items():
            if absent := sorted({*chain(*measured.values())} - parts):
                yield f"its proof lacks {absent[0]} of {port} with the kernel {kernel}, and has it of another port"
        in_styles = [m for of in own.values() for m in of if m.style and m.levels is None]
        for (port, check, dtype), of in grouped(in_styles, lambda m: (m.port, m.check, m.dtype)).items():
            if len({frozenset(m.quantity for m in some) for some in grouped(of, lambda m: m.style).values()}) > 1:
                yield f"its proof lacks a quantity of {check} in {dtype} in a call style of {port}"
        styles = {(m.port, m.style) for of in own.values() for m in of if m.style and m.dtype == "float64"}
        for arm, _ in _timed(run):
            if styles and arm.port in own and arm.phase != "step" and (arm.port, arm.style) not in styles:
                yield f"its proof lacks the call style of {arm.id} with the kernel {kernel}"


def _parts_of(m: Measurement) -> Iterator[str]:
    """The check of a measurement, and what was compared, outside of rows and call styles."""
    yield f"{m.check} in {m.dtype}"
    if m.style is None and m.levels is None:
        yield f"{m.check} in {m.dtype}: {m.quantity}"


Rule = Callable[[Run], Iterator[str]]
RULES: tuple[Rule, ...] = (
    _arms, _absent, _reasons, _command, _admission, _machine, _programs, *schedule.RULES, _speed, _proof_origin,
    _proof_content, _proof_cover, _proof_alike,
)  # fmt: skip
