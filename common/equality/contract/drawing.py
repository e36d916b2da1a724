"""Rows of any sizes, drawn by hypothesis for as long as there is time: where a design has a few sizes, this has all."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from time import monotonic
from typing import Any

from ...errors import InputError
from ...port.protocol import Port
from .designs import design_of
from .factors import NO_STYLE, Row, space_of, whole_row

#: Rows by one seed of hypothesis, of which the first ones are small; then the next seed follows.
A_SEED = 25
#: How long a row that failed is made smaller, in seconds.
SHRINK_S = 60.0
#: The factors of a question that draws: for how many seconds, and from which seed on.
SECONDS, SEED = "seconds", "seed"


@dataclass(frozen=True)
class Drawn:
    """What was found.

    Args:
        rows: how many were asked, without those skipped.
        skipped: how many the port does not offer.
        failed: the smallest row that failed, if there is one.
        seed: of hypothesis, by which that was found; else the last one.
    """

    rows: int
    skipped: int
    failed: Row | None
    seed: int


def drawing_row(seconds: float, seed: int) -> Row:
    """A question that draws for so long, from this seed of hypothesis on."""
    return {"dtype": "float64", "style": NO_STYLE, SECONDS: str(seconds), SEED: str(seed)}


def draw(port: Port, seconds: float, seed: int, passes: Callable[[Row], bool | None]) -> Drawn:
    """Draw rows of a port, until one fails or the time is over. A row that fails is made smaller.

    Args:
        port: whose call styles and kernel choices are drawn, too.
        seconds: for how long.
        seed: the first of hypothesis's seeds.
        passes: asks a row; None where the port does not offer it.

    Raises:
        InputError: hypothesis is not installed.
    """
    try:
        import hypothesis
        from hypothesis.errors import Flaky
    except ImportError:
        raise InputError("rows are drawn by hypothesis, which is not installed: pip install hypothesis.") from None
    rows, ends, asked, skipped, failed = rows_of(port), monotonic() + seconds, 0, 0, []

    @hypothesis.given(rows)
    @hypothesis.settings(
        max_examples=A_SEED,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=[*hypothesis.HealthCheck],  # pyright: ignore[reportArgumentType]
        verbosity=hypothesis.Verbosity.quiet,
    )
    def ask(row: Row) -> None:
        nonlocal asked, skipped
        if monotonic() > ends + SHRINK_S * bool(failed):
            return
        passed = passes(row)
        asked, skipped = asked + (passed is not None), skipped + (passed is None)
        if passed is False:
            failed.append(row)
            raise AssertionError(row)

    for number in count(seed):
        # the last row that failed is the smallest; where the time was over meanwhile, hypothesis wonders
        with suppress(AssertionError, Flaky, BaseExceptionGroup):
            hypothesis.seed(number)(ask)()
        if failed or monotonic() > ends:
            return Drawn(asked, skipped, failed[-1] if failed else None, number)
    raise AssertionError("itertools.count has no end")


def rows_of(port: Port) -> Any:
    """A strategy of hypothesis: rows that keep every rule, with sizes, unrolling and values of their own.

    Each begins with a row of the port's design, the usual one first, of which some levels are changed.
    """
    from hypothesis import strategies as st

    space = space_of(port)
    begun = st.sampled_from(
        [space.usual, *({f.name: row.get(f.name, f.usual) for f in space.factors} for row in _designed(port))]
    )
    changes = st.lists(st.sampled_from([(f.name, level) for f in space.factors for level in f.levels]), max_size=12)

    @st.composite
    def rows(draw: Any) -> Row:
        row = dict(draw(begun))
        for name, level in draw(changes):
            if space.allows({**row, name: level}):
                row[name] = level
        for name, level in sizes(row, draw):
            row[name] = level
        return whole_row({**row, SEED: str(draw(st.integers(0, 2**16)))})

    def sizes(row: Row, draw: Any) -> Iterator[tuple[str, str]]:
        """Numbers of the same kind as the levels, so that the rules still hold."""
        time = 1 if row["time"] == "1" else draw(st.integers(2, 40) | st.integers(41, 300))
        yield "time", str(time)
        yield "inputs", str(draw(st.integers(1, 12)))
        yield "hidden", str(draw(st.integers(1, 24)))
        axes = {"none": (0, 0), "2x1x3": (2, 3)}.get(row["batch"], (1, 1))
        batch = draw(st.lists(st.integers(1, 4), min_size=axes[0], max_size=axes[1]))
        yield "batch", "x".join(map(str, batch)) or "none"
        if row["unroll"] != "1":
            yield "unroll", str(draw(st.integers(2, min(time + 2, 20))))

    return rows()


def _designed(port: Port) -> list[Row]:
    """Rows in float64 that a covering design can have."""
    space = space_of(port)
    rows = [row for row in design_of(port) if row["dtype"] == "float64" and row["wide"] == "all"]
    return [row for row in rows if all(row.get(f.name, f.usual) in f.levels for f in space.factors)]
