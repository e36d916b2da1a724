"""Rules of records that several kinds of files have: machines, measurements of equality, and how programs were built.

Each function yields a sentence for each contradiction.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from statistics import median

from ...common.equality.checks import CHECKS, ON_DEVICES, SELECTIONS
from ...common.equality.contract.factors import FACTORS, whole_row
from ...common.equality.contract.selections import OTHERS, PLAIN
from ...common.equality.measurement import Measurement
from ...common.errors import brief
from ...common.port.programs import Build
from ...impls import get_port, own_ports, unavailable
from .grouping import grouped
from .lines import first_twice
from .run import Machine

#: Checks of earlier versions, in files that this one reads.
_FORMER = ("masks", "param-dtype", "forward", "sgd", "adamw", "carry-rate", "exchange")
_NAMES = [check.name for check in (*CHECKS, *SELECTIONS, *ON_DEVICES)]
_KNOWN = {*_NAMES, *_FORMER, *OTHERS, *OTHERS.values(), *(factor.name for factor in FACTORS), PLAIN}
#: Dtypes of a computation, and the least error that is usual in one of those that round: a rounding, by a thousand.
_DTYPES, _COARSE_ERROR = ("float64", "float32", "bfloat16", "float16"), 2.0**-24 / 1e3
#: The largest bound that any version has set: in two bytes, where much cancels.
_LARGEST_BOUND = 1e3
#: Of so many errors no more than half are equal; and of so few the median is as large as rounding makes it.
_MANY, _FEW = 20, 4
#: A version, with where it is from if it is not of an index; or that there is none.
_VERSION = re.compile(r"\d[\w.+!-]*(, .{1,200})?|not installed")
#: Versions before which trigru does not run at all, whatever its requirements are.
_OLDEST = {"python": (3, 11), "jax": (0, 4, 30), "flax": (0, 8), "equinox": (0, 10)}
#: How many times as long as the first call lowering and compiling may take: on devices a train step may compile twice.
_TWICE = 2.0
#: The same of tracing, which counts what is traced within something else once for each level.
_DEEP = 20.0


def of_machine(machine: Machine, ports: Iterable[str]) -> Iterator[str]:
    """A process knows the versions of all that matters, of a CPU no GPU, and runs programs that are compiled.

    Args:
        ports: of which it has numbers or facts.
    """
    versions = {name: version for name, version in machine.versions.items() if name != "platform"}
    if lost := sorted({"python", "jax"} - versions.keys()):
        yield f"it has no version of {lost[0]}"
    yield from of_versions(versions)
    for name, oldest in _OLDEST.items():
        version = versions.get(name, "not installed")
        if version != "not installed" and _numbers(version) < oldest:
            yield f"it has {name} {brief(version)}, with which trigru does not run"
    if machine.backend == "cpu" and machine.gpus:
        yield f"it has GPUs, and ran on {machine.device}"
    if machine.environment.get("JAX_DISABLE_JIT", "0").lower() in ("1", "true", "on", "yes"):
        yield "JAX_DISABLE_JIT was set, and its programs are compiled"
    for port in {*ports} & {*own_ports()}:
        packages = () if unavailable(port) else get_port(port).packages
        needed = [name for name in packages if name != "jaxlib"]  # which comes with jax
        if lost := [name for name in needed if versions.get(name, "not installed") == "not installed"]:
            yield f"{port} was there, and {lost[0]} was not installed"


def of_versions(versions: dict[str, str]) -> Iterator[str]:
    """Each version is one, and jaxlib's is that of the same JAX."""
    for name, version in versions.items():
        if not _VERSION.fullmatch(version):
            yield f"{brief(version)} is no version of {name}"
    jax, jaxlib = (versions.get(name, "not installed") for name in ("jax", "jaxlib"))
    is_known = "not installed" not in (jax, jaxlib) and "dev" not in jax + jaxlib
    if is_known and _numbers(jax)[:2] != _numbers(jaxlib)[:2]:
        yield f"jax {brief(jax)} does not run with jaxlib {brief(jaxlib)}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d{1,9}", version)[:3])


def of_measurements(found: Iterable[Measurement]) -> Iterator[str]:
    """Measurements are of checks, levels and dtypes that there are, each once, with errors that rounding makes."""
    found = list(found)
    for m in found:
        if not {*m.check.split("+")} <= _KNOWN:
            yield f"its proof has the check {m.check!r}, which is none"
        if not {*(m.levels or {})} <= {*whole_row({})}:
            yield f"its proof has levels of {m.check} that are none"
        if m.dtype not in _DTYPES:
            yield f"its proof has the dtype {brief(m.dtype)} of {m.check}, which is none"
        if m.bound > _LARGEST_BOUND:
            yield f"its proof allows {m.port} an error of {m.bound:.1e} in {m.check}"
    once = [m for m in found if m.passed or m.levels is None]  # rows may fail for one reason
    measured = [f"{m.port} {m.kernel} {m.check} {m.style} {m.quantity} {m.dtype} {m.levels or ''}" for m in once]
    if twice := first_twice(measured):
        yield f"its proof has {twice} twice"
    computed = [m for m in found if m.error is not None and m.bound]
    exact, coarse = ([m for m in computed if (m.dtype == "float64") == is_exact] for is_exact in (True, False))
    for port, of_port in grouped(exact, lambda m: m.port).items():
        ((_, times),) = Counter(m.error for m in of_port).most_common(1)
        if len(of_port) >= _MANY and times > len(of_port) / 2:
            yield f"its proof has one error of {port} {times} times"
    for port, of_port in grouped(coarse, lambda m: m.port).items():
        if len(of_port) >= _FEW and median(m.error or 0.0 for m in of_port) < _COARSE_ERROR:
            yield f"its proof has errors of {port} that are smaller than {of_port[0].dtype} rounds"


def of_build(build: Build) -> Iterator[str]:
    """Tracing, lowering and compiling are parts of the first call; a train step on devices may compile twice."""
    compiling_s = max(build.lower_s, build.compile_s)
    if compiling_s > _TWICE * build.first_call_s or build.trace_s > _DEEP * build.first_call_s:
        yield "took longer to compile than to its first result"
