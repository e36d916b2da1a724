"""The least work of a phase, by analysis: floating-point operations and bytes."""

from dataclasses import dataclass

from .workloads import Workload

#: Sums, products and activations of a cell, without its matrix products, for each unit, example and time step: r and z
#: take two sums and a sigmoid each, n three sums, a product and a tanh, h' a difference, two products and a sum.
CELL_FLOPS = 15
#: Their derivatives, and the sums that accumulate the gradients of biases and state.
CELL_GRADIENT_FLOPS = 30
#: Adam, for each parameter: two moments, their corrections, a root, a quotient and the move.
ADAM_FLOPS = 14
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Work:
    """The least that any implementation of a phase does.

    Args:
        flops: floating-point operations of a call; a multiply-add is two, an activation is one.
        moved_bytes: of a call: parameters, inputs, outputs, targets, gradients and optimiser state, each read or
            written once, and the states that the backward pass needs, written and read once.
    """

    flops: float
    moved_bytes: float


def work_of(workload: Workload, phase: str, dtype: str = "float32") -> Work:
    """Analytic work of a call.

    Steps at or past a sequence's length do not count as work, though most programs run them. Otherwise, a library that
    packs the sequences would get credit for steps that it leaves out.

    >>> from trigru.bench.results.arm import Sized
    >>> from trigru.bench.arms.workloads import get_workload
    >>> large = get_workload(Sized("large"))
    >>> round(work_of(large, "train_step").flops / work_of(large, "forward").flops, 1)
    2.7
    """
    B, D, H = workload.batch_size, workload.input_size, workload.hidden_size
    steps = B if phase == "step" else workload.steps  # of all sequences
    C, P = workload.classes or 0, workload.parameters(phase)
    inputs, states = 2 * 3 * H * D, 2 * 3 * H * H  # products of a sequence's time step
    readout = 2 * B * H * C
    scan = steps * (inputs + states + CELL_FLOPS * H)
    if phase == "step":
        flops, numbers = scan, P + B * D + 2 * B * H
    elif phase == "forward":
        flops, numbers = scan + readout, P + steps * D + (B * C if C else steps * H)
    else:
        back = steps * (inputs + 2 * states + CELL_GRADIENT_FLOPS * H) + 2 * readout
        targets = B if C else steps * H
        flops, numbers = scan + readout + back, 2 * P + steps * D + targets + 2 * steps * H
    if phase == "train_step":
        flops, numbers = flops + ADAM_FLOPS * P, numbers + 4 * P  # both moments, read and written
    return Work(float(flops), float(numbers * ITEM_BYTES[dtype]))
