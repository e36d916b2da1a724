"""The ports, one a file, and the registry that finds them.

Each module in this folder has a `PORT`. A package elsewhere adds a port through the
entry-point group `trigru.ports`: its name is the port's, its object a `trigru.common.Port`.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
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
    """The names of all known ports, installed framework or not: `pure` first, third parties last.

    >>> port_names()[:4]
    ['pure', 'linen', 'nnx', 'equinox']
    """
    return own_ports() + sorted({*_third_party()} - {*own_ports()})


@cache
def get_port(name: str) -> Port:
    """The port of that name; an UnknownNameError, or an UnavailableError if its framework does not import."""
    if name not in port_names():
        raise UnknownNameError("port", name, port_names())
    own = name in own_ports()
    try:
        port = (
            importlib.import_module(f".{name}", __name__).PORT
            if own
            else _third_party()[name].load()
        )
        if isinstance(port, type):
            raise InputError("its entry point gives a class, expected an object.")
        check_port(port)
        if port.name != name:
            raise InputError(f"it calls itself {port.name!r}; both must agree.")
    except Exception as error:  # a broken framework must not take the others with it
        known = str(error) if isinstance(error, InputError) else what_to_install(error)
        reason = known or f"{type(error).__name__}: {error}"
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
    """A call style of a port by name; an UnknownNameError, or an UnavailableError if the installed versions lack it."""
    styles = {style.name: style for style in port.call_styles}
    if name not in styles:
        raise UnknownNameError(f"call style of {port.name}", name, list(styles))
    if missing := styles[name].missing():
        raise UnavailableError(
            f"call style {name!r} of {port.name} is not available: {missing}."
        )
    return styles[name]


def own_ports() -> list[str]:
    """The names of the ports in this package, installed framework or not."""
    own = {module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg}
    return [name for name in _FIRST if name in own] + sorted(own - {*_FIRST})


def _third_party():
    return {entry.name: entry for entry in entry_points(group="trigru.ports")}
