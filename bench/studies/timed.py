"""Times arms against each other in fresh processes, for the scripts beside it."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from trigru.bench.analysis.statistics import TimeComparison, as_ratio, effect_of, noise_floor, verdict
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.bench.timing.sampling import sample_rounds, schedule_of, warm_up
from trigru.common.parameters.record import random_params
from trigru.common.port.styles import make_task, styles_called
from trigru.impls import get_port, get_style

#: By name, what makes a jitted function and its arguments, and perhaps the share by which its samples are stretched;
#: the first arm is the baseline.
Arms = dict[str, Callable[[], tuple[Any, ...]]]
DUPLICATE = "duplicate"
PROCESSES, ROUNDS, SAMPLE_TIME_S = 8, 22, 2.5e-3


def program_of(port: str, label: str, workload: str, params: Any = None) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The forward phase of a port in a call style, and its arguments. By default the parameters are random."""
    sized, source = get_workload(Sized(workload)), get_port(port)
    config = sized.config("forward")
    (style,) = styles_called(source, (label,), "forward")
    model = source.load(config, random_params(config) if params is None else params)
    built = get_style(source, style).build(source, model, make_task(source, config, "forward", optax.identity()))
    return built.call, tuple(built.put(array) for array in sized.batch().arguments("forward"))


@dataclass(frozen=True)
class Compiled:
    """A jitted function with its arguments, as `sample_rounds` takes it.

    Args:
        slowed: the share by which each call is made to take longer.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    slowed: float = 0.0

    def call(self) -> Any:
        """Start a call; one that is to be slowed also ends here."""
        if not self.slowed:
            return self.function(*self.arguments)
        start = time.perf_counter()
        outputs = jax.block_until_ready(self.function(*self.arguments))
        until = start + (time.perf_counter() - start) * (1 + self.slowed)
        while time.perf_counter() < until:
            pass
        return outputs

    def wait(self, outputs: Any) -> Any:
        """Block until outputs are ready."""
        return jax.block_until_ready(outputs)


def measure(
    make_arms: Callable[[], Arms], what: str = "arms", processes: int = PROCESSES
) -> dict[str, tuple[float, TimeComparison, str]]:
    """Time arms in processes one after the other: milliseconds, the ratio to the first, and the verdict of each.

    `make_arms` is a function of a module, for a process to import.
    """
    spawn, times_s = multiprocessing.get_context("spawn"), []
    for number in range(processes):
        with spawn.Pool(1) as pool:
            times_s.append(pool.apply(time_arms, (make_arms, number)))
        print(f"{what}: process {number + 1} of {processes}", flush=True)
    log_s = {name: np.log(np.concatenate([times[name] for times in times_s])) for name in times_s[0]}
    baseline, process = next(iter(log_s)), [number for number in range(processes) for _ in range(ROUNDS)]
    ratios = {name: as_ratio(effect_of(of_arm - log_s[baseline], process)) for name, of_arm in log_s.items()}
    floor = noise_floor(ratios[DUPLICATE], processes)
    return {name: (1e3 * float(np.exp(np.median(log_s[name]))), r, verdict(r, floor)) for name, r in ratios.items()}


def time_arms(make_arms: Callable[[], Arms], number: int) -> dict[str, np.ndarray]:
    """Seconds per call of every arm and of a second copy of the first, one for each round."""
    jax.config.update("jax_enable_compilation_cache", False)  # no program from another run
    makers = make_arms()
    baseline = next(iter(makers))
    makers = {baseline: makers[baseline], DUPLICATE: makers[baseline], **makers}
    names, made = list(makers), {}
    for index in np.random.default_rng(number).permutation(len(names)):
        arm = made[names[index]] = Compiled(*makers[names[index]]())
        arm.wait(arm.call())
    arms = [made[name] for name in names]
    schedule = schedule_of([warm_up(arm, SAMPLE_TIME_S) for arm in arms], SAMPLE_TIME_S)
    samples = sample_rounds(arms, ROUNDS, schedule, seed=number)
    for sample in samples:
        if isinstance(sample, Exception):
            raise sample
    return {name: np.array(sample.time_s) for name, sample in zip(names, samples, strict=True)}
