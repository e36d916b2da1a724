"""GRUs of other libraries, with a learned initial state as their users would write it, to time beside the ports.

Each file has one peer, its `PEER`. Peers are not ports: they need not offer the whole contract.
"""

import importlib
from dataclasses import dataclass
from functools import cache

from ....common.errors import UnavailableError, UnknownNameError
from ....common.port.protocol import CallStyle

#: The names of the peers, which are those of the modules in this folder.
PEERS = ("torch",)


@dataclass(frozen=True)
class Peer:
    """A GRU with a learned initial state of another library.

    Args:
        packages: the distributions whose versions can change its results.
        call_styles: the ways to run it, the one that its documentation leads with first; their build takes
            (config, canonical params, phase).
    """

    name: str
    title: str
    packages: tuple[str, ...]
    call_styles: tuple[CallStyle, ...]


@cache
def get_peer(name: str) -> Peer:
    """The peer of that name. Raises an UnavailableError if its library is not installed, or does not import."""
    if name not in PEERS:
        raise UnknownNameError("peer", name, list(PEERS))
    try:
        return importlib.import_module(f".{name}", __name__).PEER
    except ModuleNotFoundError as error:
        raise UnavailableError(f"{error.name} is not installed: uv run --extra peers trigru ... brings it.") from error
    except Exception as error:  # a broken library must not stop the others
        raise UnavailableError(f"peer {name!r} is not available: {type(error).__name__}: {error}") from error
