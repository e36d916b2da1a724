"""The table of cold starts."""

from ..analysis.starts import PARTS, ColdStarts, summarise_starts
from ..timing.coldstart import WORKLOAD
from .numbers import format_bytes, format_time, from_to
from .provenance import ARITHMETIC
from .sections import Section


def cold_start_tables(found: ColdStarts) -> list[Section]:
    """A table with the medians of each port's starts."""
    ports = summarise_starts(found.starts)
    on_device = any(port.device_peak_bytes is not None for port in ports)
    rows = [
        (
            port.port,
            *map(format_time, port.part_s),
            f"{port.total_s:.3g} s [{port.least_s:.3g}, {port.most_s:.3g}]",
            "unknown" if port.peak_bytes is None else format_bytes(port.peak_bytes),
            *(["unknown" if port.device_peak_bytes is None else format_bytes(port.device_peak_bytes)] * on_device),
        )
        for port in ports
    ]
    starts = [port.starts for port in ports]
    second_s = [port.second_call_s for port in ports]
    notes = [
        f"Medians of {from_to(str(min(starts)), str(max(starts)))} starts of each port, each in a fresh process. "
        "The total also has its range.",
        "Import contains JAX and Optax in every port, and the port's framework. So pure is the floor. Init starts "
        "JAX's backend, draws the parameters and constructs the model.",
        f"First step is the whole first train step of {WORKLOAD}: trace, lower and compile, without a cache of "
        "compiled programs; make the optimiser's state; run the step. Total is import + init + first step. It does not "
        "contain the start of Python itself.",
        f"The second step takes {from_to(format_time(min(second_s)), format_time(max(second_s)))}. "
        f"Call styles: {', '.join(f'{port.port}[{port.style}]' for port in ports)}.",
        ARITHMETIC,
        "These starts are not paired and no verdict is given. Where ranges overlap, the order of the medians says "
        "little.",
    ]
    before, after = ("unknown" if load is None else f"{load:.1f}" for load in (found.load_before, found.load_after))
    notes.append(f"Measured on {found.datetime[:10]}. Runnable processes: {before} before, {after} after.")
    columns = ("port", *PARTS, "total [min, max]", "peak memory", *(["on the device"] * on_device))
    return [Section("Cold start: from Python to the first train step", columns, rows, tuple(notes))]
