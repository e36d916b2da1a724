"""Compare two models: are they the same function, and if not, which lines differ?

from trigru.parity import Model, assert_same

assert_same(Model.linen(module, variables), Model.equinox(model, batched=True), x)
"""

# pyright: reportMissingImports=false
# installed as trigru.parity
from ..common.parity.comparison import compare
from ..common.parity.report import Comparison, Location, Place
from ..impls.parity.models import Model

__all__ = ["Comparison", "Location", "Model", "Place", "assert_same", "compare"]


def assert_same(reference, candidate, *inputs, mapping=None) -> Comparison:
    """Fail unless two models are the same function, with the text of `trigru port`.

    Args:
        reference, candidate, inputs, mapping: as `compare` takes them.

    Raises:
        AssertionError: they are another function, or it cannot be told.
        InputError: a model that does not take the inputs, or a wrong mapping.
    """
    result = compare(reference, candidate, *inputs, mapping=mapping)
    if result.verdict != "same":
        raise AssertionError(str(result))
    return result
