"""Cases beside the covering design, with levels that would be asked in vain in each
combination.
"""

from dataclasses import replace

from ...gru.kernels import STOCK
from ...port.names import DOCUMENTED, DONATED, FUNCTIONAL, LEAVES
from ...port.protocol import Port, WithKernel
from ...port.styles import available_styles, labels_of, styles_called
from .cases import (
    BFLOAT16,
    BFLOAT16_OF_FLOAT32,
    FLOAT16,
    FLOAT32,
    FLOAT32_OF_BFLOAT16,
    FLOAT64,
    Case,
)
from .space import DESIGNED_LABELS, STYLED_PHASES

_MASKED = Case(lengths=True, resets=True)
_FULL = replace(_MASKED, carry="passed")
_TRAINED = Case(phase="train_step", style=DOCUMENTED)
_WIDE = Case(carry="passed", phase="forward")

NAMED = (
    # two batch axes; as many steps as examples, so that no shape tells axes apart
    replace(_FULL, batch=(2, 3)),
    replace(_MASKED, batch=(3, 3), time_major=True, reverse=True),
    replace(_MASKED, batch=(17,), time_major=True),
    Case(batch=(17,), entry="steps", resets=True, carry="passed"),
    # the initial carry that the model hands out
    Case(carry="handed out", batch=(2, 1, 3), resets=True),
    Case(carry="handed out", batch=(), phase="jvp"),
    # results near 0, where tanh(a) is a; gates near 0 beside a large state
    Case(params="faint", inputs=18),
    Case(params="faint", inputs=18, entry="steps", phase="forward"),
    Case(params="closed"),
    Case(params="closed", entry="steps", phase="forward"),
    # more steps than the dtype of lengths counts, in one call
    Case(time=130, lengths=True, lengths_dtype="int8", phase="forward"),
    # steps past the first thousand, of which powers of two divide 1280
    replace(_FULL, time=1100, reverse=True, remat=True),
    Case(time=1280, phase="forward"),
    # more steps than half precision counts
    Case(time=520, lengths=True, dtypes=BFLOAT16, phase="forward"),
    # inputs that are wide beside the batch, which the fused kernel multiplies before
    # its loop
    replace(_FULL, inputs=64, batch=(1,), reverse=True),
    # derivatives of one argument while all others are held, of each example by itself,
    # and of gradients
    Case(transform="apart", carry="passed", resets=True),
    replace(_MASKED, transform="per example", batch=(2, 3)),
    replace(_MASKED, phase="penalty", transform="vmap"),
    replace(_MASKED, phase="penalty", transform="per example"),
    # one of several arrays is wider than the others
    replace(_WIDE, wide="carry"),
    replace(_WIDE, wide="carry", entry="steps"),
    replace(_WIDE, wide="inputs"),
    replace(_WIDE, wide="inputs", entry="steps"),
    replace(_WIDE, wide="parameters"),
    replace(_WIDE, wide="parameters", entry="steps"),
    # a model that is told in which dtype to compute, also where arrays promote to it
    Case(told_dtype=True, dtypes=FLOAT32_OF_BFLOAT16, entry="steps", carry="passed"),
    Case(dtypes=BFLOAT16_OF_FLOAT32, entry="steps", resets=True, phase="forward"),
    replace(_FULL, dtypes=FLOAT16),
    # other optimisers
    replace(_TRAINED, optimizer="clipped adamw"),
    replace(_TRAINED, optimizer="carry rate"),
    replace(_TRAINED, optimizer="adam", lengths=True),
    # outside of jit, on NumPy's arrays and JAX's
    replace(
        _FULL,
        run="eager",
        phase="forward",
        arrays="strided",
        reverse=True,
        lengths_dtype="uint8",
    ),
    Case(run="eager", phase="forward"),
    Case(run="eager", phase="forward", entry="steps", carry="passed", time=2),
    Case(run="eager", transform="held", carry="passed", resets=True),
)

#: Cases that call styles are compiled with: dtypes, masks and kinds of loop.
_MASKS_IN_FLOAT32 = replace(_FULL, dtypes=FLOAT32, reverse=True)
_UNROLLED_IN_BFLOAT16 = Case(dtypes=BFLOAT16, lengths=True, unroll="not dividing")
_TIME_MAJOR_IN_FLOAT32 = Case(dtypes=FLOAT32, remat=True, lengths=True, time_major=True)
_MASKS_IN_FLOAT64 = replace(_FULL, dtypes=FLOAT64)
_CARRY_IN_FLOAT16 = Case(dtypes=FLOAT16, carry="passed")
_LENGTHS_IN_MIXED = Case(dtypes=BFLOAT16_OF_FLOAT32, lengths=True)
_WIDER_IN_FLOAT32 = Case(dtypes=FLOAT32, resets=True, inputs=33, hidden=16)
#: With which case each call style of a port is compiled, by the names of port and
#: style.
COMPILED_WITH = {
    ("pure", "jit"): replace(_MASKS_IN_FLOAT32, phase="train_step"),
    ("pure", "leaves"): replace(_UNROLLED_IN_BFLOAT16, phase="forward"),
    ("pure", "donated"): replace(_TIME_MAJOR_IN_FLOAT32, phase="train_step"),
    ("linen", "apply"): replace(_MASKS_IN_FLOAT32, phase="gradient"),
    ("linen", "leaves"): replace(_UNROLLED_IN_BFLOAT16, phase="forward"),
    ("linen", "train_state"): replace(_TIME_MAJOR_IN_FLOAT32, phase="train_step"),
    ("linen", "donated"): replace(_MASKS_IN_FLOAT64, phase="train_step"),
    ("nnx", "nnx.jit"): replace(_MASKS_IN_FLOAT32, phase="train_step"),
    ("nnx", "nnx.jit-tree"): replace(_UNROLLED_IN_BFLOAT16, phase="forward"),
    ("nnx", "jit_partial"): replace(_TIME_MAJOR_IN_FLOAT32, phase="gradient"),
    ("nnx", "cached_partial"): replace(_MASKS_IN_FLOAT64, phase="forward"),
    ("nnx", "pytree"): replace(_CARRY_IN_FLOAT16, phase="gradient"),
    ("nnx", "split-merge"): replace(_LENGTHS_IN_MIXED, phase="forward"),
    ("nnx", "leaves"): replace(_WIDER_IN_FLOAT32, phase="gradient"),
    ("nnx", "donated"): replace(_MASKS_IN_FLOAT32, phase="train_step"),
    ("equinox", "filter_jit"): replace(_MASKS_IN_FLOAT32, phase="train_step"),
    ("equinox", "jit"): replace(_UNROLLED_IN_BFLOAT16, phase="forward"),
    ("equinox", "partition"): replace(_TIME_MAJOR_IN_FLOAT32, phase="gradient"),
    ("equinox", "leaves"): replace(_MASKS_IN_FLOAT64, phase="forward"),
    ("equinox", "donated"): replace(_CARRY_IN_FLOAT16, phase="train_step"),
}
#: The same for a style that is not in that table, by its label; None is for a style
#: without one.
OTHERS_COMPILED_WITH = {
    DOCUMENTED: replace(_MASKS_IN_FLOAT32, phase="train_step"),
    FUNCTIONAL: replace(_MASKS_IN_FLOAT64, phase="gradient"),
    LEAVES: replace(_UNROLLED_IN_BFLOAT16, phase="forward"),
    DONATED: replace(_TIME_MAJOR_IN_FLOAT32, phase="train_step"),
    None: replace(_CARRY_IN_FLOAT16, phase="gradient"),
}
#: What each call style has to keep, beside the dtype.
_LOOP = Case(unroll="not dividing", remat=True)
#: What a style that is in no covering design is called with, by phase.
BESIDE_DESIGN = {
    "forward": replace(_LOOP, lengths=True),
    "gradient": replace(_LOOP, resets=True, carry="passed"),
    "train_step": replace(_LOOP, lengths=True, resets=True),
}
#: In which the kernels beside the stock one are compared; `--kernel` compares them in
#: all cases.
OF_KERNELS = (
    replace(_FULL, reverse=True, remat=True, batch=(2, 1, 3), unroll="not dividing"),
    replace(
        _FULL, phase="jvp", time_major=True, unroll="beyond", remat=True, inputs=64
    ),
    replace(_FULL, phase="penalty", transform="per example"),
    replace(_FULL, dtypes=BFLOAT16_OF_FLOAT32, transform="vmap"),
)
#: Accuracy at the sizes that people run.
_LARGE = Case(run="compiled", batch=(64,), time=1024, inputs=64, hidden=512)
SCALE = (replace(_LARGE, dtypes=FLOAT32), replace(_LARGE, dtypes=BFLOAT16))


def named_cases(port: Port) -> list[Case]:
    """The cases of a port beside those of its covering design."""
    cases = [*NAMED]
    phases_by_style: dict[str, list[str]] = {}
    for phase in STYLED_PHASES:
        for style in available_styles(port, phase):
            phases_by_style.setdefault(style.name, []).append(phase)
    for style, phases in phases_by_style.items():
        cases += _cases_of_style(port, style, phases)
    for style in available_styles(port, "step"):
        cases.append(Case(style=style.name, phase="step", time=2, carry="passed"))
    for kernel in other_kernels(port):
        cases += [replace(case, kernel=kernel) for case in OF_KERNELS]
    return cases


def _cases_of_style(port: Port, style: str, phases: list[str]) -> list[Case]:
    """A call style is compiled once: those that frameworks are compared in, with all
    optimisations.

    Those that are in no covering design are evaluated in each phase here.
    """
    labels = _labels(port, style, phases)
    compiled = COMPILED_WITH.get((port.name, style)) or _compiled_with(labels)
    if compiled.phase not in phases:
        compiled = replace(compiled, phase=phases[0])
    is_compared = bool(labels - {DONATED})
    run = "compiled" if is_compared else "quick"
    cases = [replace(compiled, style=style, run=run)]
    for phase in phases:
        if _labels(port, style, [phase]).isdisjoint(DESIGNED_LABELS):
            cases.append(replace(BESIDE_DESIGN[phase], style=style, phase=phase))
    in_mixed = replace(_LOOP, dtypes=BFLOAT16_OF_FLOAT32)
    return [*cases, replace(in_mixed, style=style, phase=phases[0])]


def _labels(port: Port, style: str, phases: list[str]) -> set[str]:
    labels = set[str]()
    for phase in phases:
        labels.update(labels_of(port, phase).get(style, ()))
    return labels


def _compiled_with(labels: set[str]) -> Case:
    for label, case in OTHERS_COMPILED_WITH.items():
        if label in labels:
            return case
    return OTHERS_COMPILED_WITH[None]


def other_kernels(port: Port) -> list[str]:
    """The kernels that a port offers beside the stock one; none where its models all
    have one kernel.
    """
    if isinstance(port, WithKernel):
        return []
    return sorted(set(port.kernels) - {STOCK})


def style_of(case: Case, port: Port) -> str | None:
    """The call style of a case, by its name; None where the function is called
    directly.

    A port that has no style of a case's label is asked in the first that it has for the
    phase.
    """
    if case.style is None:
        return None
    names = [style.name for style in available_styles(port, case.phase)]
    for name in styles_called(port, [case.style], case.phase):
        if name in names:
            return name
    return names[0] if names else case.style
