"""Tables of arms on several devices: what each gains over one, and what the devices exchange."""

from collections.abc import Sequence

import numpy as np

from ...common.port.collectives import Collective
from ..analysis.scaling import Scaling, scalings
from ..results.grouping import grouped
from ..results.record import Results
from .numbers import format_bytes, format_ratio, format_time
from .provenance import short_group
from .sections import Prose, Section, Words


def scaling_tables(results: Results) -> list[Section]:
    """A table for each group that has arms on several devices."""
    return [_table(found) for found in grouped(scalings(results), lambda s: s.benchmark.group).values()]


def _table(found: list[Scaling]) -> Section:
    first = found[0].benchmark.arm
    rows = [
        (
            s.alone.name,
            f"{s.benchmark.arm.devices}, {s.benchmark.arm.way}",
            format_time(float(np.median(s.benchmark.time_s))),
            format_ratio(s.speedup, s.verdict),
            f"{s.efficiency.ratio:.0%}",
            exchanged(s.collectives),
        )
        for s in found
    ]
    return Section(
        f"{short_group(first)}: strong scaling",
        (Prose("arm"), Words("devices"), "a call", "speedup", "efficiency", Words("exchanged in a call")),
        rows,
        (
            "The same batch, spread over the devices. The speedup is the time of the same arm on one device over its "
            "own, paired within rounds, ± the farther end of its 95 % interval; in brackets where it is "
            "indistinguishable from 1. "
            "Efficiency is the speedup over the number of devices.",
            "If the devices are parts of one CPU, the one device has all of its cores to itself, too: then they show "
            "what devices exchange, and not how accelerators scale.",
        ),
    )


def exchanged(collectives: Sequence[Collective] | None) -> str:
    """What each device exchanges in a call, in short: bytes in all, those of a loop apart.

    >>> from trigru.common.port.collectives import Collective
    >>> exchanged([Collective("all-reduce", 1024, 50, True), Collective("all-reduce", 512, 1, False)])
    '50 KiB in a loop, 512 B'
    >>> exchanged([Collective("all-reduce", 1024, None, True)])
    'in a loop, unknown times'
    >>> exchanged([]), exchanged(None)
    ('nothing', 'not known')
    """
    if collectives is None:
        return "not known"
    inside = [c for c in collectives if c.in_loop]
    after = sum(c.nbytes * (c.runs or 1) for c in collectives if not c.in_loop)
    found = []
    if any(c.runs is None for c in inside):
        found.append("in a loop, unknown times")
    elif inside:
        found.append(f"{format_bytes(sum(c.nbytes * (c.runs or 1) for c in inside))} in a loop")
    if after or not inside:
        found.append(format_bytes(after) if after else "nothing")
    return ", ".join(found)
