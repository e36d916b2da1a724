"""Find the rows of every port that trigru has, on each kernel, and keep them in the package.

.venv/bin/python .ci/designs.py              those of `trigru verify`: minutes
.venv/bin/python .ci/designs.py --triples    those that `--thorough` adds: half an hour
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from trigru.common.equality.contract.designs import FILE, TRIPLES, pack, pack_triples
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port

PORTS = ("pure", "linen", "nnx", "equinox")


def triples_of(name: str, kernel: str) -> dict[str, tuple[str, ...]]:
    """The rows of one port on one kernel."""
    return pack_triples([WithKernel(get_port(name), kernel)])


if __name__ == "__main__":
    if sys.argv[1:] == ["--triples"]:
        asked = [(name, kernel) for kernel in ("fused", "stock") for name in PORTS]
        with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
            found = list(pool.map(triples_of, *zip(*asked, strict=True)))
        rows = {digest: kept for of_port in found for digest, kept in of_port.items()}
        TRIPLES.write_text(json.dumps(rows, indent=0, sort_keys=True) + "\n")
    else:
        ports = [port for name in PORTS for port in (get_port(name), WithKernel(get_port(name), "fused"))]
        FILE.write_text(pack(ports))
