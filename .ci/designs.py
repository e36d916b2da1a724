"""Keep the rows of every port that trigru has, on each kernel, in the package.

.venv/bin/python .ci/designs.py

Only those of a space that changed are found anew, which takes up to a minute for each port and kernel. After a change
of how rows are found, remove the file first.
"""

from collections.abc import Iterator

from trigru.common.equality.contract.designs import FILE, is_kept, pack
from trigru.common.port.protocol import Port, WithKernel
from trigru.impls import get_port

PORTS = ("pure",)  # all ports have the same


def ports() -> Iterator[Port]:
    """Each port on each kernel; says which rows are being found."""
    for name in PORTS:
        for kernel, port in (("stock", get_port(name)), ("fused", WithKernel(get_port(name), "fused"))):
            print(f"{name}, {kernel}: {'kept' if is_kept(port) else 'finding its rows'}", flush=True)
            yield port


if __name__ == "__main__":
    FILE.write_text(pack(ports()))
