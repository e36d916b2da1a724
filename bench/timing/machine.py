"""What the numbers depend on: the machine, and the versions of everything that matters."""

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from msgspec import Struct

__all__ = [
    "Machine",
    "commit_of_trigru",
    "cpu_name",
    "cuda_packages",
    "describe_machine",
    "load_average",
    "versions_of",
    "without_paths",
]

PACKAGES = ("trigru", "jax", "jaxlib", "flax", "equinox", "optax", "numpy", "scipy", "pytest-benchmark")
#: Folders whose changes can change what is measured, seen from this one.
PACKAGED = ("bench", "common", "impls")
#: What a GPU's programs are compiled by and call: JAX's plugin, CUDA and cuDNN, whose names may end in CUDA's version.
_CUDA = re.compile(r"jax-cuda\d+-\w+|nvidia-(cublas|cuda-nvcc|cuda-runtime|cudnn)(-cu\d+)?")
#: Environment variables that change what is measured, and what must not be published: secrets, and folders of a user.
_MATTERS = re.compile(
    r"^(JAX|XLA|TF|FLAX|EQX|KERAS|TORCH|PYTORCH|CUDA|CUDNN|CUBLAS|NVIDIA|NCCL|OPENBLAS|OMP|GOMP|KMP|MKL)_|_NUM_THREADS$"
)
_PRIVATE = re.compile(r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|_VAR_|_DIR$|_PATH$|_HOME$|_FILE$|_TO$", re.IGNORECASE)
#: Of a flag that takes a path, as in --xla_dump_to; and a value that is one.
_TAKES_PATH = re.compile(r"_(to|from|dir|path|file)$")
_IS_PATH = re.compile(r"[/\\]|^['\"]?~")
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")
PATH = "PATH"


class Machine(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a process measured, and with what.

    Args:
        versions: of Python and of the distributions that matter, on a GPU those of CUDA and cuDNN, too.
        device, backend: as JAX calls them; a CPU's by its model.
        threads: CPUs that the process may use, which is how many threads XLA takes.
        xla_flags: the environment's XLA_FLAGS, without paths.
        environment: other variables that change what is measured.
        commit: of trigru's own checkout, "-dirty" where it was changed; "" where it was not run from one.
    """

    versions: dict[str, str]
    device: str
    backend: str
    threads: int
    xla_flags: str
    environment: dict[str, str]
    commit: str

    def differences(self, other: "Machine") -> list[str]:
        """What is not the same on another machine, in words; the commit aside."""
        found: list[str] = []
        for name in ("device", "backend", "threads", "xla_flags"):
            mine, its = getattr(self, name), getattr(other, name)
            found += [f"{name} {its!r}, was {mine!r}"] if mine != its else []
        for kind in ("versions", "environment"):
            mine, its = getattr(self, kind), getattr(other, kind)
            for name in sorted(mine.keys() | its.keys()):
                if mine.get(name) != its.get(name):
                    found.append(f"{name} {its.get(name, 'not set')}, was {mine.get(name, 'not set')}")
        return found


def describe_machine(packages: Iterable[str] = ()) -> Machine:
    """The machine of this process.

    Args:
        packages: distributions beside those that always matter.
    """
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
        versions["platform"] = " ".join(device.client.platform_version.split())  # with CUDA's, where no package has it
    return Machine(
        versions=versions,
        device=cpu_name() if device.platform == "cpu" else device.device_kind,
        backend=device.platform,
        threads=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        xla_flags=environment.pop("XLA_FLAGS", ""),
        environment=environment,
        commit=commit_of_trigru(),
    )


def without_paths(value: str) -> str:
    """A variable's value with the word PATH for every path in it, which may tell whose machine it is.

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
    """Installed versions of Python, of what always matters and of further distributions."""
    found = {"python": platform.python_version()}
    for package in dict.fromkeys((*PACKAGES, *packages)):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cuda_packages(installed: Iterable[str | None]) -> list[str]:
    """Those of the installed distributions that are JAX's CUDA plugin, CUDA or cuDNN.

    >>> cuda_packages(["numpy", "nvidia_cudnn_cu13", "nvidia-cufft", "jax-cuda13-plugin"])
    ['jax-cuda13-plugin', 'nvidia-cudnn-cu13']
    """
    names = {name.lower().replace("_", "-") for name in installed if name}
    return sorted(name for name in names if _CUDA.fullmatch(name))


def load_average() -> float | None:
    """Runnable processes over the last minute, where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def cpu_name() -> str:
    """The processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit_of_trigru() -> str:
    """The commit that this package was run from; "" where it is not a checkout."""
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
