"""What NVIDIA's driver says of the GPUs of a machine, which JAX does not: clocks, power, partitions, other users."""

import os
import shutil
import subprocess
from collections.abc import Mapping

COMMAND = "nvidia-smi"
LIMIT_S = 20.0
#: What is asked, by the driver's name of it, and what it is called here.
QUERIES = {
    "name": "name",
    "driver_version": "driver",
    "clocks.max.sm": "most MHz",
    "clocks.sm": "MHz",
    "power.limit": "W at most",
    "mig.mode.current": "MIG",
    "memory.total": "MiB",
    "memory.used": "MiB used",
    "utilization.gpu": "% busy",
}
ABSENT = ("[N/A]", "[Not Supported]", "N/A")


def visible_gpu(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that leaves a process one GPU, the first, unless the user has said which it may see.

    Empty where there is no GPU of NVIDIA's.
    """
    if "CUDA_VISIBLE_DEVICES" in environment or not os.path.exists("/dev/nvidia0"):
        return {}
    return {"CUDA_VISIBLE_DEVICES": "0"}


def describe_gpus() -> list[dict[str, str]]:
    """What the driver says of each GPU, as text; empty without a driver, or if it does not answer."""
    if shutil.which(COMMAND) is None:
        return []
    command = [COMMAND, f"--query-gpu={','.join(QUERIES)}", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return []
    return read_gpus(found.stdout)


def read_gpus(text: str) -> list[dict[str, str]]:
    """Lines of the driver's answer, one for each GPU; what it does not know is left out.

    >>> read_gpus("NVIDIA H100 80GB HBM3, 580.65.06, 1980, 345, 700.00, Disabled, 81559, 4, [N/A]")[0]["W at most"]
    '700.00'
    """
    lines = [[value.strip() for value in line.split(",")] for line in text.splitlines() if line.strip()]
    return [
        {name: value for name, value in zip(QUERIES.values(), values, strict=True) if value not in ABSENT}
        for values in lines
        if len(values) == len(QUERIES)
    ]
