"""Find the rows of every port that trigru has, on each kernel, and keep them in the package. It takes minutes.

.venv/bin/python .ci/designs.py
"""

from trigru.common.equality.contract.designs import FILE, pack
from trigru.common.port.protocol import WithKernel
from trigru.impls import get_port

PORTS = ("pure", "linen", "nnx", "equinox")


if __name__ == "__main__":
    FILE.write_text(pack(port for name in PORTS for port in (get_port(name), WithKernel(get_port(name), "fused"))))
