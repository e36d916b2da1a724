"""Tables of arms on several devices: what each gains over one, and what the devices exchange."""

import numpy as np

from ...common.port.programs import ProgramFacts
from ..analysis.speedups import scalings
from ..results.grouping import grouped
from ..results.record import Results
from .numbers import format_bytes, format_ratio, format_time
from .provenance import short_group
from .sections import Prose, Section, Words

_NOTE = (
    "The same batch, spread over the devices. The speedup is the time of the same arm on one device over its own, "
    "paired within rounds, ± the farther end of its 95 % interval; in brackets where it is indistinguishable from 1. "
    "Efficiency is the speedup over the number of devices. Where devices are parts of one CPU, the one device has all "
    "of its cores to itself, too: then they show what devices exchange, and not how accelerators scale."
)


def scaling_tables(results: Results) -> list[Section]:
    """A table for each group that has arms on several devices."""
    columns = (Prose("arm"), Words("devices"), "a call", "speedup", "efficiency", Words("exchanged in a call"))
    return [
        Section(
            f"{short_group(of_group[0].benchmark.arm)}: strong scaling",
            columns,
            [
                (
                    s.other.name,
                    f"{s.benchmark.arm.devices}, {s.benchmark.arm.way}",
                    format_time(float(np.median(s.benchmark.time_s))),
                    format_ratio(s.ratio, s.verdict),
                    f"{s.ratio.ratio / s.benchmark.arm.devices:.0%}",
                    _exchanged(s.benchmark.facts.program),
                )
                for s in of_group
            ],
            (_NOTE,),
        )
        for of_group in grouped(scalings(results), lambda s: s.benchmark.group).values()
    ]


def _exchanged(program: ProgramFacts | None) -> str:
    """What each device exchanges in a call: bytes in all, those of a loop apart."""
    if program is None:
        return "not known"
    parts = []
    for in_loop, alike in grouped(program.collectives, lambda collective: collective.in_loop).items():
        where = " in a loop" if in_loop else ""
        sizes = [collective.nbytes * (collective.runs or 1) for collective in alike]
        known = all(collective.runs is not None for collective in alike)
        parts.append(f"{format_bytes(sum(sizes))}{where}" if known else f"unknown{where}")
    return ", ".join(parts) or "nothing"
