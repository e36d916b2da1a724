"""The machine, and the versions of all that the numbers depend on."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from ..processes.environment import cores
from ..results.machine import Machine

PACKAGES = (
    "trigru",
    "jax",
    "jaxlib",
    "flax",
    "equinox",
    "optax",
    "numpy",
    "scipy",
    "pytest-benchmark",
)
#: Folders of trigru whose changes can change what is measured.
PACKAGED = ("bench", "common", "impls")
#: Distributions that compile a GPU's programs or are called by them: JAX's plugin, CUDA and cuDNN. Their names may end
#: in CUDA's version.
_CUDA = re.compile(
    r"jax-cuda\d+-\w+|nvidia-(cublas|cuda-nvcc|cuda-runtime|cudnn)(-cu\d+)?"
)
#: Environment variables that change what is measured; and those that must not be published: secrets and a user's
#: folders.
_MATTERS = re.compile(
    r"^(JAX|XLA|TF|FLAX|EQX|KERAS|TORCH|PYTORCH|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|OPENBLAS|OMP|GOMP|KMP|MKL)_|_NUM_THREADS$"
)
_PRIVATE = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|ADDRESS|COMM_ID|_VAR_|_DIR$|_PATH$|_HOME$|_FILE$|_TO$",
    re.IGNORECASE,
)
#: The name of a flag that takes a path, such as --xla_dump_to; and a value that is a path.
_TAKES_PATH = re.compile(r"_(to|from|dir|path|file)$")
_IS_PATH = re.compile(r"[/\\]|^['\"]?~")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")
PATH = "PATH"
#: The command of NVIDIA's driver, how long it may take in seconds, and the facts that JAX does not know: the driver's
#: name of each, and the name here.
NVIDIA_SMI, NVIDIA_SMI_LIMIT_S = "nvidia-smi", 20.0
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
_ABSENT = ("[N/A]", "[Not Supported]", "N/A")


def describe_machine(packages: Iterable[str] = ()) -> Machine:
    """The machine of this process, with the versions of these distributions and of those that always matter."""
    import jax

    device = jax.devices()[0]
    is_cpu = device.platform == "cpu"
    environment = {
        name: without_paths(value)
        for name, value in sorted(os.environ.items())
        if _MATTERS.search(name) and not _PRIVATE.search(name)
    }
    versions = versions_of(packages)
    if not is_cpu:
        installed = {
            d.name.lower().replace("_", "-") for d in distributions() if d.name
        }
        versions |= versions_of(
            sorted(name for name in installed if _CUDA.fullmatch(name))
        )
        versions["platform"] = " ".join(
            device.client.platform_version.split()
        )  # may have CUDA's version
    return Machine(
        versions=versions,
        device=cpu_name() if is_cpu else device.device_kind,
        backend=device.platform,
        threads=cores(),
        xla_flags=environment.pop("XLA_FLAGS", ""),
        environment=environment,
        commit=commit_of_trigru(),
        gpus=[] if is_cpu else describe_gpus(),
    )


def without_paths(value: str) -> str:
    """A variable's value with the word PATH in place of every path, since a path may identify a user."""
    words = []
    for word in _WORD.findall(value):
        name, equals, path = word.partition("=")
        if path and not _IS_PATH.search(name):
            words.append(
                name
                + equals
                + (PATH if _TAKES_PATH.search(name) or _IS_PATH.search(path) else path)
            )
        else:
            words.append(PATH if _IS_PATH.search(word) else word)
    return " ".join(words)


def versions_of(packages: Iterable[str] = ()) -> dict[str, str]:
    """Installed versions of Python, of the distributions that always matter, and of further ones."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*PACKAGES, *packages)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def visible_gpu(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that leaves a process the first GPU of NVIDIA's, if there is one and the user has chosen none."""
    if "CUDA_VISIBLE_DEVICES" in environment or not os.path.exists("/dev/nvidia0"):
        return {}
    return {"CUDA_VISIBLE_DEVICES": "0"}


def describe_gpus() -> list[dict[str, str]]:
    """The answer of NVIDIA's driver about each GPU, as text, without what it does not know; empty without an answer."""
    command = [
        NVIDIA_SMI,
        f"--query-gpu={','.join(QUERIES)}",
        "--format=csv,noheader,nounits",
    ]
    try:
        text = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=NVIDIA_SMI_LIMIT_S,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    lines = [[value.strip() for value in line.split(",")] for line in text.splitlines()]
    found = [
        zip(QUERIES.values(), values, strict=True)
        for values in lines
        if len(values) == len(QUERIES)
    ]
    return [
        {name: value for name, value in of_gpu if value not in _ABSENT}
        for of_gpu in found
    ]


def memory() -> int | None:
    """Bytes of memory of the machine; None where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def load_average() -> float | None:
    """Mean number of runnable processes over the last minute; None where the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpu_name() -> str:
    """The processor's model."""
    with suppress(
        OSError
    ):  # there is no such file but on Linux, nor such a line on every processor
        if named := re.search(
            r"^model name\s*:\s*(\S.*?)\s*$",
            Path("/proc/cpuinfo").read_text(),
            re.MULTILINE,
        ):
            return named[1]
    from cpuinfo import (
        get_cpu_info,
    )  # a dependency of pytest-benchmark, which starts processes

    return get_cpu_info().get("brand_raw") or platform.processor() or platform.machine()


def commit_of_trigru() -> str:
    """The commit of this package; "" if it is not run from a checkout."""
    folder = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", __file__
        )  # fails if this is installed beneath somebody else's repository
        return git("rev-parse", "HEAD") + (
            "-dirty" if git("status", "--porcelain", "--", *PACKAGED) else ""
        )
    except (OSError, subprocess.SubprocessError):
        return ""
