"""A change between two snapshots, and the kinds of changes by their meaning to a user."""

from msgspec import Struct

#: What a change can be, causes before what follows from them, and what it means.
KINDS = {
    "code": "is a package with other code under the same version",
    "tree": "has other leaves",
    "arguments": "takes other arguments, or has other defaults",
    "function": "computes something else, beyond rounding",
    "draws": "draws other parameters from the same key",
    "checkpoints": "no longer reads old files",
    "broken": "no longer works, or is no longer equal to the oracle",
    "calls": "traces again, waits, or runs more Python in a call",
    "kept": "keeps more for the gradient",
    "work": "has a quarter more operations",
    "warnings": "warns anew",
    "memory": "its program needs more memory",
    "bits": "rounds in another way",
    "program": "is another program",
    "better": "works now, costs less, or is new",
}
#: Those that fail unless somebody says otherwise.
FAILING = tuple(kind for kind in KINDS if kind not in ("memory", "bits", "program", "better"))


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One fact that is not as it was.

    Args:
        kind: of KINDS.
        subject: a name of `Subject`.
        what: the fact, in words.
        old, new: what it was, and is.
        line: of code that computes something else, and what stood there before; "" where none is known.
    """

    kind: str
    subject: str
    what: str
    old: str
    new: str
    line: str = ""
