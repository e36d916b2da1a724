"""GRUs of other libraries, with a learned initial state as their users would write it, to time beside the ports.

Peers are not ports: they need not offer the whole contract.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from ...common.errors import UnavailableError, what_to_install
from ...common.port.protocol import CallStyle

#: The peers, and the modules beside this one that have them as `PEER`.
PEERS = {"torch": "torch_gru"}


@dataclass(frozen=True)
class Peer:
    """A GRU with a learned initial state of another library.

    Args:
        packages: the distributions whose versions can change its results.
        call_styles: the ways to run it, the one that its documentation leads with first; their build takes
            (config, canonical params, phase).
    """

    name: str
    packages: tuple[str, ...]
    call_styles: tuple[CallStyle, ...]


@cache
def get_peer(name: str) -> Peer:
    """The peer of that name. Raises an UnavailableError if its library is not installed, or does not import."""
    try:
        return import_module(f".{PEERS[name]}", __package__).PEER
    except Exception as error:  # a broken library must not stop the others
        reason = what_to_install(error) or f"{type(error).__name__}: {error}"
        raise UnavailableError(f"peer {name!r} is not available: {reason}") from error
