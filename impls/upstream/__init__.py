"""The frameworks' own parts, unchanged, for the same checks; and a table of where they depart from the contract.

They are what a user has without trigru. Each departure names the checks that fail for its reason. The table is strict:
a check that passes although it is on record, or fails although it is not, is reported, so that an upstream fix is
noticed on the day on which it is installed. An argument that a part lacks is on record, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

from jax import numpy as jnp

from ...common.equality.measurement import Measurement
from ...common.errors import NotOfferedError

#: By the names of trigru's own ports.
NAMES = ("linen", "nnx", "equinox")
ON_RECORD, GONE, NEW = "on record", "GONE", "NEW"


class Departure(NamedTuple):
    """A place where a framework's own part does something else than the contract."""

    part: str  # the framework's name for it
    what: str  # it does, in a sentence
    checks: tuple[
        str, ...
    ]  # of `trigru.common.equality.checks`, those that fail for this reason
    source: str = ""  # where it is reported or documented


#: Flax's two RNNs, linen's and NNX's, depart alike.
_NO_START = "has no initial state among its parameters", ("start",)
_UNMAPPED = (
    "no loop of it can be traced in jax.shard_map where its inputs alone are divided: JAX's rule",
    ("mesh",),
)
_OF_BOTH = (
    ("has no episode resets", ("golden", "resets")),
    ("seq_lengths 0 returns the padded end's carry", ("lengths", "held")),
    (
        "outputs past a length are not zero, as its documentation says",
        ("lengths", "held"),
    ),
    ("NaN in the padding reaches gradients", ("lengths",)),
    ("dtype gives way to the carry's", ("carry", "life")),
    (
        "the default recurrent_kernel_init, JAX's orthogonal, can't draw in half precision",
        ("draws",),
    ),
    (
        "takes integers as inputs; bad calls go through or fail inside Flax",
        ("refusals",),
    ),
    _UNMAPPED,
)
_WITH_BIASES = (
    *(
        "sequence",
        "chunks",
        "step",
        "classifier",
        "inference",
        "jvp",
        "hvp",
        "batch-axes",
        "long",
        "inputs",
        "hidden",
    ),
    *(
        "carry",
        "lengths",
        "arrays",
        "reverse",
        "time-major",
        "long+unroll",
        "unroll",
        "vmap",
        "transform",
        "styles",
    ),
    *("styles+training", "conversion", "life"),
)

_OF_PARTS = {
    "nn.RNN": (_NO_START, *_OF_BOTH),
    "nnx.RNN": (
        (
            "has no b_hn, which its documentation has",
            _WITH_BIASES,
            "https://github.com/google/flax/issues/5594",
        ),
        _NO_START,
        ("has no option for rematerialisation", ("remat",)),
        ("one orthogonal draw for the fused matrix", ("draws",)),
        (
            "can't be closed over by a transform of JAX: pass it as an argument",
            ("export",),
        ),
        *_OF_BOTH,
    ),
    "eqx.nn.GRUCell": (
        *(_NO_START, _UNMAPPED),
        ("has no lengths", ("lengths", "golden", "counted", "held", "refusals")),
        ("has no episode resets", ("resets", "golden")),
        ("draws weights and biases uniformly", ("draws",)),
        ("has no option for the dtype of the computation", ("carry", "life")),
    ),
}
DEPARTURES = tuple(
    Departure(part, *row) for part, rows in _OF_PARTS.items() for row in rows
)


def get_upstream(name: str) -> ModuleType:
    """The module of a framework's own parts, with its `PORT`."""
    return import_module(f".{name}", __name__)


@dataclass(frozen=True)
class SeenDeparture:
    """A departure, compared with what is installed."""

    part: str  # the framework's name for it
    what: str  # it does
    seen: str  # the checks that fail, or that do not any more
    status: str  # ON_RECORD, GONE where the record says that it departs and it does not, NEW for the reverse


def find_departures(
    name: str, measurements: Iterable[Measurement]
) -> list[SeenDeparture]:
    """Every departure on record whose checks were run, then every failed check that none of them explains."""
    part = get_upstream(name).PORT.name
    of_part = [m for m in measurements if m.port == part]
    failed = {m.check: False for m in of_part} | {
        m.check: True for m in of_part if not m.passed
    }
    findings, explained = [], set[str]()
    for _, what, checks, _ in (
        departure for departure in DEPARTURES if departure.part == part
    ):
        explained |= {*checks}
        fails, passes = (
            [c for c in checks if failed.get(c) is state] for state in (True, False)
        )
        if passes:
            findings.append(
                SeenDeparture(part, what, f"passes {', '.join(passes)}", GONE)
            )
        elif fails:
            findings.append(
                SeenDeparture(part, what, f"fails {', '.join(fails)}", ON_RECORD)
            )
    new = [check for check, fails in failed.items() if fails and check not in explained]
    return findings + [
        SeenDeparture(part, f"fails {check}", "explained by no departure", NEW)
        for check in new
    ]


# Shared by the ports of these parts; the RNN and the GRUCell of linen and of NNX take the same arguments --------------


class OwnParts:
    """The base, before trigru's port, of a port of a framework's own parts; parameters are laid out as trigru's."""

    name: str
    kernels = ("stock",)
    model_class = None

    def initial_carry(self, model: Any, batch_shape: tuple[int, ...] = ()) -> Any:
        """Raise a NotOfferedError: users of these parts write that themselves."""
        raise NotOfferedError(f"{self.name} has no method for the learned state")


def run(
    self, x, carry=None, *, lengths=None, resets=None, reverse=False, time_major=False
):
    """Run `self.rnn` like trigru's GRU, where Flax's own parts allow it."""
    require_none("Flax's RNN", resets=resets)
    h = _start(self, x.shape[1:-1] if time_major else x.shape[:-2], carry)
    return self.rnn(
        x,
        initial_carry=h,
        seq_lengths=lengths,
        reverse=reverse,
        keep_order=True,
        time_major=time_major,
    )


def step(self, x, carry=None, *, reset=None):
    """Run one time step by `self.cell` alone."""
    require_none("Flax's GRUCell", reset=reset)
    return self.cell(_start(self, x.shape[:-1], carry), x)


def require_none(part: str, **masks: Any) -> None:
    """Raise a NotOfferedError for a mask that is passed to a part that takes none."""
    for name, mask in masks.items():
        if mask is not None:
            raise NotOfferedError(f"{part} takes no {name}")


def _start(module, batch, carry):
    h = module.initial_carry[...] if carry is None else carry
    return jnp.broadcast_to(h, (*batch, h.shape[-1]))
