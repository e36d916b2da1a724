"""Convert results files of schema 2. Their ids and names spell facts; only this module reads them."""

from typing import Any

from ...common.gru.kernels import parse_kernel
from .record import SCHEMA

#: Runs of schema 2 had no time limit for a measuring process.
NO_LIMIT_S = 0.0


def from_schema_2(content: dict[str, Any]) -> dict[str, Any]:
    """The same run in the present schema. Malformed content is returned unchanged, so that the reader reports it.

    Such a file has no proof of equality, only the admission of each arm.
    """
    try:
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
        baseline = next((b for b in content["benchmarks"] if b["extra_info"]["trigru"]["is_baseline"]), None)
        return content | {
            "trigru": provenance | {"schema": SCHEMA, "plan": plan, "equality": None},
            "benchmarks": [_benchmark(b, machine) for b in content["benchmarks"]],
            "untimed": [_untimed(u, baseline) for u in content["untimed"]],
        }
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return content


def _benchmark(benchmark: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    facts = dict(benchmark["extra_info"]["trigru"])
    if facts.pop("id") != f"{benchmark['group']}/{benchmark['name']}":
        raise ValueError("an id that is not of its group and name")
    del facts["workload"]
    copy, slowed, is_baseline = facts.pop("copy"), facts.pop("slowed"), facts.pop("is_baseline")
    arm = _group(benchmark["group"]) | {
        "port": facts.pop("port"),
        "style": facts.pop("style"),
        "kernel": _kernel(facts.pop("kernel")),
        "copy": copy,
        "slowed": slowed,
    }
    if (arm["phase"], arm["dtype"]) != (facts.pop("phase"), facts.pop("dtype")):
        raise ValueError("a group of another phase or dtype")
    arm["role"] = "baseline" if is_baseline else "duplicate" if copy == 2 else "calibration" if arm["trial"] else "arm"
    where = {"device": machine["device"], "backend": machine["backend"]}
    return benchmark | {"extra_info": {"trigru": facts | where | {"arm": arm}}}


def _untimed(untimed: dict[str, Any], baseline: dict[str, Any] | None) -> dict[str, Any]:
    port, _, rest = untimed["name"].partition("[")
    style, _, rest = rest.partition("]")
    rest, _, copy = rest.partition("#")
    kernel, _, slowed = rest.removeprefix(":").partition("+")
    arm = _group(untimed["group"]) | {
        "port": port,
        "style": None if style == "?" else style,
        "kernel": _kernel(kernel or "stock"),
        "copy": int(copy or 1),
        "slowed": float(slowed.rstrip("%") or 0) / 100,
    }
    name = baseline["name"] if baseline else "pure[jit]"
    role = "baseline" if untimed["name"] == name else "calibration" if arm["trial"] else "arm"
    arm["role"] = "duplicate" if copy == "2" else role
    return {"type": "Untimed", "arm": arm, "reason": untimed["reason"]}


def _group(group: str) -> dict[str, Any]:
    workload, phase, dtype, division = group.split("/")
    name, _, trial = workload.partition("~")
    sized = {"workload": _sized(name), "trial": int(trial or 0)}
    return sized | {"phase": phase, "dtype": dtype, "division": division}


def _sized(name: str) -> dict[str, Any]:
    name, *sizes = name.split("@")
    return {"name": name, "sizes": {size: int(value) for size, _, value in (s.partition("=") for s in sizes)}}


def _kernel(name: str) -> dict[str, Any]:
    kernel = parse_kernel(name)
    return {"name": kernel.name, "choices": kernel.choices}
