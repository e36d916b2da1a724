"""Tables of arms on several devices: what each gains over one, and what the devices exchange."""

from ...common.port.collectives import Collective
from ..analysis.scaling import scalings
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
                    s.alone.name,
                    f"{s.benchmark.arm.devices}, {s.benchmark.arm.way}",
                    format_time(float(s.benchmark.stats["median"])),
                    format_ratio(s.speedup, s.verdict),
                    f"{s.speedup.ratio / s.benchmark.arm.devices:.0%}",
                    "not known" if s.collectives is None else ", ".join(map(_exchanged, s.collectives)) or "nothing",
                )
                for s in of_group
            ],
            (_NOTE,),
        )
        for of_group in grouped(scalings(results), lambda s: s.benchmark.group).values()
    ]


def _exchanged(collective: Collective) -> str:
    if collective.runs is None:
        return f"{collective.kind} in a loop, unknown times"
    return f"{format_bytes(collective.nbytes * collective.runs)}" + (" in a loop" if collective.in_loop else "")
