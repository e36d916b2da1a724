"""The same GRU in Flax linen, Flax NNX, Equinox and plain JAX, one module each.

Each module has a `GRU` (`pure` has functions) and a `PORT`, by which trigru uses it.
`get_port` finds a port by its name, also that of another package: such a package names
its `trigru.common.Port` in the entry-point group `trigru.ports`.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..common.errors import (
    InputError,
    UnavailableError,
    UnknownNameError,
    what_to_install,
)
from ..common.port.protocol import Port, check_port

__all__ = ["get_port", "get_style", "own_ports", "port_names", "unavailable"]

#: The order of these in every list; others follow by name.
_FIRST = ("pure", "linen", "nnx", "equinox")


def port_names() -> list[str]:
    """The names of all known ports, whether their frameworks are installed or not.

    `pure` is the first; those of other packages are the last.

    >>> port_names()[:4]
    ['pure', 'linen', 'nnx', 'equinox']
    """
    own = own_ports()
    others = sorted(set(_third_party()) - set(own))
    return own + others


@cache
def get_port(name: str) -> Port:
    """The port of a name.

    Raises an UnknownNameError, or an UnavailableError if its framework does not import.
    """
    if name not in port_names():
        raise UnknownNameError("port", name, port_names())
    try:
        if name in own_ports():
            port = importlib.import_module(f".{name}", __name__).PORT
        else:
            port = _third_party()[name].load()
        if isinstance(port, type):
            raise InputError("its entry point gives a class, expected an object.")
        check_port(port)
        if port.name != name:
            raise InputError(f"it calls itself {port.name!r}; both must agree.")
    except Exception as error:
        # A broken framework must not take the others with it.
        reason = _why_not(error)
        raise UnavailableError(f"port {name!r} is not available: {reason}") from error
    return port


def unavailable(name: str) -> str | None:
    """Why a port cannot be used here, or None."""
    try:
        get_port(name)
    except UnavailableError as error:
        return str(error)
    return None


def get_style(port: Any, name: str) -> Any:
    """A call style of a port by name.

    Raises an UnknownNameError, or an UnavailableError if the installed versions lack
    the style.
    """
    styles = {style.name: style for style in port.call_styles}
    if name not in styles:
        raise UnknownNameError(f"call style of {port.name}", name, list(styles))
    missing = styles[name].missing()
    if missing:
        raise UnavailableError(
            f"call style {name!r} of {port.name} is not available: {missing}."
        )
    return styles[name]


def own_ports() -> list[str]:
    """The names of the ports in this package, in the order of every list."""
    own = {module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg}
    first = [name for name in _FIRST if name in own]
    return first + sorted(own - set(first))


def _third_party() -> dict[str, EntryPoint]:
    """The entry points of ports in other packages, by the names of the ports."""
    return {entry.name: entry for entry in entry_points(group="trigru.ports")}


def _why_not(error: Exception) -> str:
    """What to tell the user of an error that a port raised when it was imported."""
    if isinstance(error, InputError):
        return str(error)
    return what_to_install(error) or f"{type(error).__name__}: {error}"
