"""Several hosts: two processes on this machine that are joined by `jax.distributed`, over loopback."""

import os
import socket
import subprocess
import sys

import pytest
from trigru.bench.processes.hosts import read_hosts
from trigru.common.errors import InputError


def together(*options):
    """Stdout, stderr and exit code of `trigru verify` on two hosts, which have other options each."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "trigru.bench.cli", "verify", "--port", "pure", "--devices", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": os.environ}
    running = [
        subprocess.Popen([*command, f"--hosts=127.0.0.1:{port},2,{host}", *own], **pipes)
        for host, own in enumerate(options)
    ]
    return [(*process.communicate(timeout=300), process.returncode) for process in running]


def test_hosts_verify_together_and_the_first_prints():
    (out, err, first), (other, other_err, second) = together((), ())
    assert (first, second) == (0, 0), err + other_err
    assert "devices" in out
    assert other == ""
    assert "host 1 of 2 has done its part." in other_err


def test_hosts_that_are_started_differently_say_so():
    for _, err, code in together((), ("--kernel", "fused")):
        assert code == 2
        assert "the hosts were started with different ports, kernels or versions." in err


def test_hosts_are_found_or_described():
    assert read_hosts("auto") == (None, None, None)
    bad = ("here", "here,2,0", "here:0x,2,0", "here:80,2", "here:80,2,x", ":80,2,0", f"here:80,{'9' * 5000},0")
    for text in bad:
        with pytest.raises(InputError, match="cannot read the hosts"):
            read_hosts(text)
    with pytest.raises(InputError, match="host 2 is not among 2 hosts"):
        read_hosts("here:80,2,2")
