"""Compares the models of one pair, and prints what came out as JSON.

`survey.py` runs it for each pair in a process of its own.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import torch
from checks import checked
from trigru.bench.commands.user_files import inputs_of, load_file
from trigru.common.errors import InputError
from trigru.common.parity.comparison import compare
from trigru.common.program.model import is_float

PAIRS = Path(__file__).parent / "pairs"


def main(name: str) -> None:
    """Print the record of a pair."""
    torch.manual_seed(0)
    pair = load_file(str(PAIRS / f"{name}.py"))
    record: dict[str, Any] = {
        "reference_parameters": count(pair.reference.params),
        "candidate_parameters": count(pair.candidate.params),
        **compared(pair),
    }
    if record["verdict"] != "not compared":
        record["checked"] = checked(pair, name)
    print(json.dumps(record))


def compared(pair: Any) -> dict[str, Any]:
    """The result of the comparison, and what it took."""
    begin = time.process_time()
    try:
        result = compare(
            pair.reference,
            pair.candidate,
            *inputs_of(pair),
            mapping=getattr(pair, "mapping", None),
        )
    except InputError as error:
        return {"verdict": "not compared", "reason": str(error)}
    record = {
        "cpu_s": time.process_time() - begin,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    facts = result.as_json()
    for name in ("verdict", "reason", "conditions", "remarks", "places"):
        record[name] = facts[name]
    return record


def count(params: Any) -> int:
    """How many numbers parameters have."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(params) if is_float(leaf))


if __name__ == "__main__":
    main(sys.argv[1])
