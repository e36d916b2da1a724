"""What a phase has to do at least: floating-point operations and bytes, by analysis."""

from dataclasses import dataclass

from .workloads import Workload

__all__ = ["Work", "work_of"]

#: Sums, products and activations of a cell beside its matrix products, for each unit, example and time step: r and z
#: take two sums and a sigmoid each, n three sums, a product and a tanh, h' a difference, two products and a sum.
CELL_FLOPS = 15
#: Their derivatives, and the sums that accumulate the gradients of biases and state.
CELL_GRADIENT_FLOPS = 30
#: Adam, for each parameter: two moments, their corrections, a root, a quotient and the move.
ADAM_FLOPS = 14
ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2}


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

    All T steps of all sequences count, padded ones too: the programs run them.

    >>> from trigru.bench.workloads import find_workload
    >>> large = find_workload("large")
    >>> round(work_of(large, "train_step").flops / work_of(large, "forward").flops, 1)
    2.7
    """
    B, T, D, H = workload.batch_size, workload.time, workload.input_size, workload.hidden_size
    C, P = workload.classes or 0, workload.parameters(phase)
    inputs, states = 2 * B * 3 * H * D, 2 * B * 3 * H * H  # one time step's products
    readout = 2 * B * H * C
    forward = T * (inputs + states + CELL_FLOPS * B * H) + readout
    if phase == "step":
        flops, numbers = inputs + states + CELL_FLOPS * B * H, P + B * D + 2 * B * H
    elif phase == "forward":
        flops, numbers = forward, P + B * T * D + (B * C if C else B * T * H)
    else:
        back = T * (inputs + 2 * states + CELL_GRADIENT_FLOPS * B * H) + 2 * readout
        targets = B if C else B * T * H
        flops, numbers = forward + back, 2 * P + B * T * D + targets + 2 * B * T * H
    if phase == "train_step":
        flops, numbers = flops + ADAM_FLOPS * P, numbers + 4 * P  # both moments, read and written
    return Work(float(flops), float(numbers * ITEM_BYTES[dtype]))
