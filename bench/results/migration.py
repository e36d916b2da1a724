"""Convert results files of earlier schemas. The ids and names of schema 2 spell facts; only this module reads them."""

import math
from typing import Any

from ...common.gru.kernels import parse_kernel
from .grouping import grouped
from .record import SCHEMA

#: Runs of schema 2 had no time limit for a measuring process.
NO_LIMIT_S = 0.0


#: What the styles of runs are called that were before schema 4. None of them passed linen's TrainState.
_LABELS = {
    ("pure", "jit"): ["documented", "functional"],
    ("linen", "apply"): ["documented", "functional"],
    ("nnx", "nnx.jit"): ["documented"],
    ("nnx", "split-merge"): ["functional"],
    ("nnx", "leaves"): ["leaves"],
    ("equinox", "filter_jit"): ["documented"],
    ("equinox", "partition"): ["functional"],
    ("torch", "eager"): ["documented"],
    ("haiku", "transform"): ["documented"],
    ("keras", "stateless"): ["documented"],
}


def migrate(content: Any) -> Any:
    """A results file of schema 2, 3 or 4 in the present one. Malformed content stays, so that the reader reports it."""
    try:
        schema = content["trigru"]["schema"]
        for before, convert in ((2, _from_schema_2), (3, _from_schema_3), (4, _from_schema_4)):
            if schema <= before:
                content = convert(content)
        return content
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return content


def _from_schema_4(content: dict[str, Any]) -> dict[str, Any]:
    """With the precision of a run in its arms, of which it has one, and the process of each pipelined round."""
    provenance = dict(content["trigru"])
    precision = {"precision": provenance.pop("matmul_precision")}
    for benchmark in content["benchmarks"]:
        facts = benchmark["extra_info"]["trigru"]
        other_s = facts.pop("pipelined_s")
        rounds = grouped(facts["process"], lambda process: process)
        several = [of for of, calls in zip(rounds.items(), facts["calls"], strict=True) if calls > 1]
        process = [number for number, of in several for _ in range(math.ceil(len(of) / 4))] if other_s else []
        known = len(process) == len(other_s)  # else nobody can say of which process each is
        facts |= {"clock": "blocked", "other_s": other_s if known else [], "other_process": process if known else []}
    for facts in [*(b["extra_info"]["trigru"] for b in content["benchmarks"]), *content["untimed"]]:
        facts["arm"] = facts["arm"] | precision
    plan = provenance["plan"] | precision
    return content | {"trigru": provenance | {"schema": SCHEMA, "plan": plan}}


def _from_schema_3(content: dict[str, Any]) -> dict[str, Any]:
    """With labels of call styles."""
    for facts in [*(b["extra_info"]["trigru"] for b in content["benchmarks"]), *content["untimed"]]:
        arm = facts["arm"]
        labels = _LABELS.get((arm["port"], arm["style"]), [])
        if (arm["port"], arm["phase"]) == ("linen", "train_step"):
            labels = [label for label in labels if label != "documented"]
        facts["arm"] = arm | {"labels": labels}
    return content | {"trigru": content["trigru"] | {"schema": 4}}


def _from_schema_2(content: dict[str, Any]) -> dict[str, Any]:
    """In schema 3. Such a file has no proof of equality, only the admission of each arm."""
    provenance = dict(content["trigru"])
    plan, machine = dict(provenance.pop("plan")), provenance["machine"]
    seed = provenance.pop("seed")
    del plan["excluded"]
    plan |= {
        "workloads": [_sized(name) for name in plan["workloads"]],
        "kernels": [_kernel(name) for name in plan["kernels"]],
        "limit_s": NO_LIMIT_S,
        "seed": seed,
    }
    known = (b["name"] for b in content["benchmarks"] if b["extra_info"]["trigru"]["is_baseline"])
    baseline = next(known, "pure[jit]")
    return content | {
        "trigru": provenance | {"schema": 3, "plan": plan, "equality": None},
        "benchmarks": [_benchmark(b, machine, baseline) for b in content["benchmarks"]],
        "untimed": [
            {"type": "Untimed", "arm": _arm(u["group"], u["name"], baseline), "reason": u["reason"]}
            for u in content["untimed"]
        ],
    }


def _benchmark(benchmark: dict[str, Any], machine: dict[str, Any], baseline: str) -> dict[str, Any]:
    facts = dict(benchmark["extra_info"]["trigru"])
    arm = _arm(benchmark["group"], benchmark["name"], baseline)
    spelled = arm | {"id": f"{benchmark['group']}/{benchmark['name']}", "is_baseline": arm["role"] == "baseline"}
    facts |= {"workload": _sized(facts["workload"].partition("~")[0]), "kernel": _kernel(facts["kernel"])}
    for name in spelled.keys() & facts.keys():
        if facts.pop(name) != spelled[name]:
            raise ValueError(f"its id says another {name}")
    where = {"device": machine["device"], "backend": machine["backend"]}
    return benchmark | {"extra_info": {"trigru": facts | where | {"arm": arm}}}


def _arm(group: str, name: str, baseline: str) -> dict[str, Any]:
    workload, phase, dtype, division = group.split("/")
    workload, _, trial = workload.partition("~")
    port, _, rest = name.partition("[")
    style, _, rest = rest.partition("]")
    rest, _, copy = rest.partition("#")
    kernel, _, slowed = rest.removeprefix(":").partition("+")
    role = "baseline" if name == baseline else "duplicate" if copy == "2" else "calibration" if trial else "arm"
    return {
        "workload": _sized(workload),
        "phase": phase,
        "dtype": dtype,
        "division": division,
        "port": port,
        "style": None if style == "?" else style,
        "kernel": _kernel(kernel or "stock"),
        "role": role,
        "copy": int(copy or 1),
        "slowed": float(slowed.rstrip("%") or 0) / 100,
        "trial": int(trial or 0),
    }


def _sized(name: str) -> dict[str, Any]:
    name, *sizes = name.split("@")
    return {"name": name, "sizes": {size: int(value) for size, _, value in (s.partition("=") for s in sizes)}}


def _kernel(name: str) -> dict[str, Any]:
    kernel = parse_kernel(name)
    return {"name": kernel.name, "choices": kernel.choices}
