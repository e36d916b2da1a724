"""The generated parts about many devices: what a train step takes on them, and what they exchange."""

from pathlib import Path

from decision import in_one_piece, table_of
from program import NOT_MEASURED, origin, ratio_cell, study
from trigru.bench.reporting.answer import name_of as title_of
from trigru.bench.reporting.numbers import format_time
from trigru.bench.studies.devices import ALONE, KERNELS, MAPPED, PLACED, PORTS, name_of
from trigru.bench.studies.ratios import ratio_of
from trigru.bench.studies.record import StudyRecord


def devices(results: Path) -> str:
    """Each framework and kernel, placed and in a shard_map."""
    record = study(results / "devices.json")
    if record is None:
        return NOT_MEASURED.format("devices", "devices")
    alone = {kernel: name_of("pure", kernel, ALONE) for kernel in KERNELS}
    rows = []
    for port in PORTS:
        for kernel in KERNELS:
            for way, said in ((PLACED, "the arrays placed"), (MAPPED, "`shard_map`, as above")):
                arm = name_of(port, kernel, way)
                found = ratio_of(record, arm, alone[kernel])
                time = in_one_piece(format_time(found.time_s))
                rows.append((title_of(port), kernel, said, time, ratio_cell(found), _exchanged(record, arm)))
    one = ", ".join(f"{kernel} {format_time(ratio_of(record, arm).time_s)}" for kernel, arm in alone.items())
    s = record.settings
    return "\n\n".join(
        [
            table_of(("framework", "kernel", "how", "a train step", "/ one device", "the gradient is exchanged"), rows),
            f"A train step of `{s['workload']}` on {s['devices']} devices, beside plain JAX with the same kernel on "
            f"one of them ({one}): the ratio with its 95 % interval, in round brackets if it is indistinguishable from "
            "1. The devices are parts of one CPU, whose cores one device has to itself, too: others differ. "
            f"What is exchanged does not depend on the machine. {origin(record)}",
        ]
    )


def _exchanged(record: StudyRecord, arm: str) -> str:
    exchanged = record.read[arm]
    inside = [text for text in exchanged if text.endswith(", in a loop")]
    if not exchanged:
        raise SystemExit(f"docs/results/devices.json: {arm}: nothing is exchanged, which cannot be.")
    return inside[0].split(", ")[-2] if inside else "once" if len(exchanged) == 1 else f"{len(exchanged)} times"
