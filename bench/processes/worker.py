"""The process that works for another: `python -P -m trigru.bench.processes.worker MODULE:FUNCTION`. See `Child`.

It decodes one request, of the type that the function says, calls the function with it and with what sends an answer,
and encodes each answer as a line of JSON.
"""

from .child import Parent, adopt

if __name__ == "__main__":
    PARENT = adopt()  # before all other imports, which take seconds

import sys
from importlib import import_module

from ...common.errors import TrigruError


def work(parent: Parent, target: str) -> None:
    """Answer one request by a function, `MODULE:FUNCTION`, which takes a `request` and an `answer` to call."""
    module, _, name = target.partition(":")
    function = getattr(import_module(module), name)  # the first, since a module may time its imports
    from typing import get_type_hints

    import msgspec

    request = msgspec.json.decode(parent.request, type=get_type_hints(function)["request"])
    encoder = msgspec.json.Encoder()
    try:
        function(request, lambda message: parent.answer(encoder.encode(message)))
    except TrigruError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    work(PARENT, sys.argv[1])  # pyright: ignore[reportPossiblyUnboundVariable]
