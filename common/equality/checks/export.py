"""The check of exported programs: `jax.export` writes them for any batch size, and they
are read back.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ...errors import DefectError
from ...gru.kernels import STOCK
from ...port.compilation import jit_without_optimization
from ...port.protocol import Port
from ..contract.calling import call_directly, named_answers
from ..contract.cases import Case
from ..contract.expected import Answers, answers_to_one
from ..contract.named import other_kernels
from .check import Trial, one_set

PLATFORMS = ("cpu", "cuda", "tpu")


def export(port: Port) -> Iterator[Trial]:
    """A gradient, and the calls of each kernel, as artefacts that serve any batch size
    on three platforms.

    The artefact of a gradient takes the model as an argument; that of a call holds it.
    """
    gradient = Case(phase="gradient")
    run = partial(_answer, port, gradient, is_model_held=False)
    yield Trial("the gradient, the model passed", run, answers_to_one(gradient))
    for kernel in (STOCK, *other_kernels(port)):
        forward = Case(phase="forward", kernel=kernel)
        run = partial(_answer, port, forward, is_model_held=True)
        what = f"the call, kernel={kernel}, the model closed over"
        yield Trial(what, run, answers_to_one(forward))


def _answer(port: Port, case: Case, *, is_model_held: bool) -> Answers:
    """The answers of an artefact that holds the model, or takes it as an argument."""
    arrays, model, arguments = one_set(case, port)
    call = partial(call_directly, case, port)
    if is_model_held:
        results = _run_exported(partial(call, model), (), arguments)
    else:
        results = _run_exported(call, (model,), arguments)
    return named_answers(case, port, arrays, results)


def _run_exported(
    function: Callable[..., Any], models: tuple[Any, ...], arguments: tuple[Any, ...]
) -> Any:
    """The results of an artefact for any size of the first axis of the arguments,
    written to bytes and read back.
    """
    import jax.export  # which older versions import on request alone

    (size,) = jax.export.symbolic_shape("size")

    def spec(array: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((size, *array.shape[1:]), array.dtype)

    specs, structure = jax.tree.flatten((*models, *jax.tree.map(spec, arguments)))

    def of_leaves(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(function(*structure.unflatten(leaves)))

    jitted: Any = jax.jit(of_leaves)
    effects = jitted.trace(*specs).jaxpr.effects
    if effects:
        names = ", ".join(str(effect) for effect in effects)
        raise DefectError(
            f"calls back into Python, which no artefact can hold: {names}."
        )
    exported = jax.export.export(jitted, platforms=PLATFORMS)(*specs)
    artefact = jax.export.deserialize(exported.serialize())
    leaves = jax.tree.leaves((*models, *arguments))
    results = jit_without_optimization(artefact.call)(*leaves)
    shapes = jax.eval_shape(function, *models, *arguments)
    return jax.tree.unflatten(jax.tree.structure(shapes), results)
