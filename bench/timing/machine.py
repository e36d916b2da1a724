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
#: Distributions that compile a GPU's programs or are called by them: JAX's plugin, CUDA
#: and cuDNN. Their names may end in CUDA's version.
_CUDA = re.compile(
    r"jax-cuda\d+-\w+|nvidia-(cublas|cuda-nvcc|cuda-runtime|cudnn)(-cu\d+)?"
)
#: Environment variables that change what is measured.
_MATTERS = re.compile(
    r"^(JAX|XLA|TF|FLAX|EQX|KERAS|TORCH|PYTORCH|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|OPENBLAS"
    r"|OMP|GOMP|KMP|MKL)_|_NUM_THREADS$"
)
#: Those of them that must not be published: secrets, and a user's folders.
_PRIVATE = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|ADDRESS|COMM_ID|_VAR_"
    r"|_DIR$|_PATH$|_HOME$|_FILE$|_TO$",
    re.IGNORECASE,
)
#: The name of a flag that takes a path, such as --xla_dump_to; and a value that is one.
_TAKES_PATH = re.compile(r"_(to|from|dir|path|file)$")
_IS_PATH = re.compile(r"[/\\]|^['\"]?~")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")
#: What stands in place of a path.
PATH = "PATH"
#: The command of NVIDIA's driver, and how long it may take, in seconds.
NVIDIA_SMI = "nvidia-smi"
NVIDIA_SMI_LIMIT_S = 20.0
#: The facts that JAX does not know: the driver's name of each, and the name here.
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
    """The machine of this process.

    Args:
        packages: distributions whose versions are told beside those that always matter.
    """
    import jax

    device = jax.devices()[0]
    is_cpu = device.platform == "cpu"
    versions = versions_of(packages)
    if not is_cpu:
        versions |= versions_of(_cuda_packages())
        # in a line; it may have CUDA's version
        versions["platform"] = " ".join(device.client.platform_version.split())
    environment = _environment()
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


def _environment() -> dict[str, str]:
    """The variables that may change what is measured, without paths."""
    environment = {}
    for name, value in sorted(os.environ.items()):
        if _MATTERS.search(name) and not _PRIVATE.search(name):
            environment[name] = without_paths(value)
    return environment


def without_paths(value: str) -> str:
    """A variable's value with the word PATH in place of every path.

    A path may identify a user.
    """
    return " ".join(_without_path(word) for word in _WORD.findall(value))


def _without_path(word: str) -> str:
    name, equals, argument = word.partition("=")
    if not argument or _IS_PATH.search(name):
        return PATH if _IS_PATH.search(word) else word
    if _TAKES_PATH.search(name) or _IS_PATH.search(argument):
        argument = PATH
    return name + equals + argument


def versions_of(packages: Iterable[str] = ()) -> dict[str, str]:
    """Installed versions of Python, of distributions that always matter, and of
    others.
    """
    versions = {"python": platform.python_version()}
    for package in (*PACKAGES, *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _cuda_packages() -> list[str]:
    names = set()
    for distribution in distributions():
        name = (distribution.name or "").lower().replace("_", "-")
        if _CUDA.fullmatch(name):
            names.add(name)
    return sorted(names)


def visible_gpu(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that leaves a process the first GPU of NVIDIA's, if there is one and
    the user has chosen none.
    """
    if "CUDA_VISIBLE_DEVICES" in environment or not os.path.exists("/dev/nvidia0"):
        return {}
    return {"CUDA_VISIBLE_DEVICES": "0"}


def describe_gpus() -> list[dict[str, str]]:
    """What NVIDIA's driver says of each GPU, as text, without what it does not know.

    Empty without an answer.
    """
    query = f"--query-gpu={','.join(QUERIES)}"
    command = [NVIDIA_SMI, query, "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=NVIDIA_SMI_LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = []
    for line in result.stdout.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == len(QUERIES):
            facts = zip(QUERIES.values(), values, strict=True)
            gpus.append({name: value for name, value in facts if value not in _ABSENT})
    return gpus


def memory() -> int | None:
    """Bytes of memory of the machine; None where the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def load_average() -> float | None:
    """Mean number of runnable processes over the last minute.

    None where the system does not report it.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpu_name() -> str:
    """The processor's model."""
    # there is no such file but on Linux, nor such a line on every processor
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        model = re.search(r"^model name\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
        if model:
            return model[1]
    # a dependency of pytest-benchmark, which starts processes
    from cpuinfo import get_cpu_info

    return get_cpu_info().get("brand_raw") or platform.processor() or platform.machine()


def commit_of_trigru() -> str:
    """The commit of this package; "" if it is not run from a checkout."""
    try:
        # fails if this is installed beneath somebody else's repository
        _git("ls-files", "--error-unmatch", __file__)
        commit = _git("rev-parse", "HEAD")
        is_changed = _git("status", "--porcelain", "--", *PACKAGED) != ""
    except (OSError, subprocess.SubprocessError):
        return ""
    return f"{commit}-dirty" if is_changed else commit


def _git(*arguments: str) -> str:
    folder = Path(__file__).parents[2]
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=10
    )
    return result.stdout.strip()
