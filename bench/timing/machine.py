"""The machine, and the versions of all that the numbers depend on."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from ..processes.child import cores
from ..results.run import Machine

PACKAGES = ("trigru", "jax", "jaxlib", "flax", "equinox", "optax", "numpy", "scipy", "pytest-benchmark")
#: Folders of trigru whose changes can change what is measured.
PACKAGED = ("bench", "common", "impls")
#: Distributions that compile a GPU's programs or are called by them: JAX's plugin, CUDA and cuDNN. Their names may end
#: in CUDA's version.
_CUDA = re.compile(r"jax-cuda\d+-\w+|nvidia-(cublas|cuda-nvcc|cuda-runtime|cudnn)(-cu\d+)?")
#: Environment variables that change what is measured; and those that must not be published: secrets and a user's
#: folders.
_MATTERS = re.compile(
    r"^(JAX|XLA|TF|FLAX|EQX|KERAS|TORCH|PYTORCH|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|OPENBLAS|OMP|GOMP|KMP|MKL)_|_NUM_THREADS$"
)
_PRIVATE = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|_VAR_|_DIR$|_PATH$|_HOME$|_FILE$|_TO$", re.IGNORECASE)
#: The name of a flag that takes a path, such as --xla_dump_to; and a value that is a path.
_TAKES_PATH = re.compile(r"_(to|from|dir|path|file)$")
_IS_PATH = re.compile(r"[/\\]|^['\"]?~")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")
PATH = "PATH"
NVIDIA_SMI = "nvidia-smi"
NVIDIA_SMI_LIMIT_S = 20.0
#: NVIDIA's driver is asked for these, which JAX does not know: its name of each, and the name here.
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
    environment = {
        name: without_paths(value)
        for name, value in sorted(os.environ.items())
        if _MATTERS.search(name) and not _PRIVATE.search(name)
    }
    versions = versions_of(packages)
    if device.platform != "cpu":
        versions |= versions_of(cuda_packages(d.name for d in distributions()))
        versions["platform"] = " ".join(device.client.platform_version.split())  # may have CUDA's version
    return Machine(
        versions=versions,
        device=cpu_name() if device.platform == "cpu" else device.device_kind,
        backend=device.platform,
        threads=cores(),
        xla_flags=environment.pop("XLA_FLAGS", ""),
        environment=environment,
        commit=commit_of_trigru(),
        gpus=[] if device.platform == "cpu" else describe_gpus(),
    )


def machine_differences(was: Machine, now: Machine, *, versions: bool = True) -> list[str]:
    """How a machine differs from another, in words. The commit never counts; versions count unless excluded."""
    found: list[str] = []
    for name in ("device", "backend", "threads", "xla_flags"):
        before, after = getattr(was, name), getattr(now, name)
        found += [f"{name} {after!r}, was {before!r}"] if before != after else []
    found += version_differences(was.versions, now.versions) if versions else []
    return found + version_differences(was.environment, now.environment)


def version_differences(was: dict[str, str], now: dict[str, str]) -> list[str]:
    """Which versions, or values, differ, in words."""
    return [
        f"{name} {now.get(name, 'not set')}, was {was.get(name, 'not set')}"
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]


def without_paths(value: str) -> str:
    """A variable's value with the word PATH in place of every path, since a path may identify a user.

    >>> without_paths("--xla_a=true --xla_dump_to=/home/me/dump --xla_dump_hlo_as_text")
    '--xla_a=true --xla_dump_to=PATH --xla_dump_hlo_as_text'
    """
    return " ".join(map(_without_path, _WORD.findall(value)))


def _without_path(word: str) -> str:
    name, equals, value = word.partition("=")
    if value and (_TAKES_PATH.search(name) or _IS_PATH.search(value)) and not _IS_PATH.search(name):
        return name + equals + PATH
    return PATH if _IS_PATH.search(word) else word


def versions_of(packages: Iterable[str] = ()) -> dict[str, str]:
    """Installed versions of Python, of the distributions that always matter, and of further ones."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*PACKAGES, *packages)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cuda_packages(installed: Iterable[str | None]) -> list[str]:
    """The installed distributions that are JAX's CUDA plugin, CUDA or cuDNN.

    >>> cuda_packages(["numpy", "nvidia_cudnn_cu13", "nvidia-cufft", "jax-cuda13-plugin"])
    ['jax-cuda13-plugin', 'nvidia-cudnn-cu13']
    """
    names = {name.lower().replace("_", "-") for name in installed if name}
    return sorted(name for name in names if _CUDA.fullmatch(name))


def visible_gpu(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that leaves a process one GPU, the first, unless the user has said which it may see.

    Empty where there is no GPU of NVIDIA's.
    """
    if "CUDA_VISIBLE_DEVICES" in environment or not os.path.exists("/dev/nvidia0"):
        return {}
    return {"CUDA_VISIBLE_DEVICES": "0"}


def describe_gpus() -> list[dict[str, str]]:
    """The answer of NVIDIA's driver about each GPU, as text; empty without a driver, or if it does not answer."""
    if shutil.which(NVIDIA_SMI) is None:
        return []
    command = [NVIDIA_SMI, f"--query-gpu={','.join(QUERIES)}", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=NVIDIA_SMI_LIMIT_S)
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
        {name: value for name, value in zip(QUERIES.values(), values, strict=True) if value not in _ABSENT}
        for values in lines
        if len(values) == len(QUERIES)
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
    from cpuinfo import get_cpu_info  # a dependency of pytest-benchmark

    return get_cpu_info().get("brand_raw") or platform.processor() or platform.machine()


def commit_of_trigru() -> str:
    """The commit of this package; "" if it is not run from a checkout."""
    folder = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        tracked = git("ls-files", "--error-unmatch", __file__)
        commit = git("rev-parse", "HEAD") if tracked else ""
        return commit + ("-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", *PACKAGED) else "")
    except (OSError, subprocess.SubprocessError):
        return ""
