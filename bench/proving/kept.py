"""Proofs that are kept, so that what was proven a minute ago need not be proven again.

A proof of a port is kept under a digest of all that it depends on: this package's files, all other files that Python
may import, the interpreter, the processor, and the environment's variables that JAX, XLA and the frameworks read. Only
proofs on a CPU are kept, of trigru's own ports, in which all questions passed: those of all default checks, or fewer.
"""

import hashlib
import os
import platform
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import msgspec
from msgspec import Struct

from ...common.equality.checks import CHECKS, DTYPES, Check
from ...common.equality.measurement import Measurement
from ...common.equality.verification import unmeasured
from ...common.files import read_whole, write_whole
from ...impls import own_ports
from ..processes.child import cores
from ..processes.scratch import cache_folder
from ..results.arm import check_date
from ..results.checksums import record_of, with_checksum
from ..results.grouping import grouped
from ..results.proof import passes
from .prover import PortId, Prover, QuestionId, processor
from .questions import expand, get_subject

#: Packages whose sources are read for the digest; of other files, sizes and times of change tell.
READ = (
    "jax",
    "jaxlib",
    "flax",
    "equinox",
    "optax",
    "numpy",
    "scipy",
    "ml_dtypes",
    "jaxtyping",
)
#: Beginnings of variables that change what is computed, or which files are imported.
VARIABLES = (
    *(
        "JAX",
        "XLA",
        "TF_",
        "LIBTPU",
        "PJRT",
        "CUDA",
        "ROCR",
        "FLAX",
        "EQX",
        "EQUINOX",
        "JAXTYPING",
        "PYTHON",
        "LD_",
    ),
    *(
        "OMP_",
        "KMP_",
        "GOMP_",
        "MKL_",
        "OPENBLAS",
        "GOTO_",
        "BLIS_",
        "VECLIB_",
        "DNNL_",
        "ONEDNN_",
        "NPY_",
        "SCIPY_",
    ),
    *("EIGEN", "MALLOC", "GLIBC", "DYLD_", "NVIDIA_", "CUBLAS_", "LANG", "LC_"),
)
#: Ends of names of files that Python imports, or that say what it imports; and names of files that describe packages.
IMPORTED = (".py", ".pyc", ".so", ".pyd", ".dylib", ".dll", ".pth", ".egg-link", ".zip")
DESCRIBED = (
    "METADATA",
    "RECORD",
    "entry_points.txt",
    "direct_url.json",
    "PKG-INFO",
    "pyvenv.cfg",
)
LEFT_OUT = ("__pycache__", "test", "tests", "include", "idlelib", "node_modules")
#: A proof is read up to this size, in bytes; and so many are kept.
MOST_BYTES, MOST_KEPT = 20_000_000, 40
Questions = Sequence[QuestionId]  # all that a proof of a port answers


class KeptProof(Struct, frozen=True, forbid_unknown_fields=True):
    """A port's measurements, all within their bounds, and the digest of all that they depend on."""

    digest: str
    when: str  # UTC, as in 2026-11-28T12:03:00+00:00
    measurements: list[Measurement]


def prove_ports(
    subjects: Sequence[PortId],
    prove: Callable[[list[QuestionId]], list[Measurement]],
    *,
    dtypes: Sequence[str] = DTYPES,
    checks: Sequence[Check] | None = None,
    styles: Mapping[str, Sequence[str] | None] | None = None,
    anew: bool = False,
    prover: Prover,
    told: Callable[[PortId, str], None] = lambda *_: None,
) -> list[Measurement]:
    """The measurements of ports, from proofs that are kept where there are such; else new ones, kept for the next time.

    A proof with all default checks is also taken where only the call styles that are timed are checked.

    Args:
        checks: None for all default ones.
        styles: as of `expand`.
        anew: take no proof that is kept.
        told: called with each port whose proof was kept, and since when.
    """
    asked = expand(subjects, dtypes, CHECKS if checks is None else checks, styles)
    scopes = grouped(asked, lambda question: question.subject)
    is_default = checks is None and styles is None and tuple(dtypes) == DTYPES
    is_usual, known, found = (
        is_default or styles is not None,
        {},
        dict[PortId, list[Measurement]](),
    )
    if is_usual and not anew:
        whole = asked if is_default else expand(subjects, DTYPES, CHECKS)
        known = {
            subject: kept(subject, some)
            for subject, some in grouped(whole, lambda q: q.subject).items()
        }
        if not is_default and not all(
            known.values()
        ):  # whole proofs and proofs of some questions do not go together
            known = {subject: kept(subject, some) for subject, some in scopes.items()}
    for subject, proof in known.items():
        if proof is not None:
            found[subject], prover.backend = proof.measurements, "cpu"
            told(subject, proof.when)
    may_keep = (
        is_usual and prover.programs is not None and bool(digest())
    )  # before anything is checked
    asked = [question for question in asked if question.subject not in found]
    proven = grouped(
        zip(asked, prove(asked), strict=True), lambda pair: pair[0].subject
    )
    may_keep = may_keep and bool(proven) and nothing_changed()
    for subject, pairs in proven.items():
        found[subject] = [measurement for _, measurement in pairs]
        if may_keep:
            keep(subject, prover.backend, found[subject], scopes[subject])
    return [
        measurement for subject in subjects for measurement in found.get(subject, ())
    ]


def keep(
    subject: PortId,
    backend: str | None,
    measurements: list[Measurement],
    questions: Questions,
) -> None:
    """Keep a proof, if it is complete and of the CPU."""
    path = _path(subject, questions)
    if path is None or backend != "cpu" or not _is_whole(measurements, questions):
        return
    proof = KeptProof(
        digest(), datetime.now(UTC).isoformat(timespec="seconds"), measurements
    )
    with suppress(
        OSError
    ):  # a full disk, or another process that removes the same file: it costs time alone
        for old in sorted(
            path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime
        )[: 1 - MOST_KEPT]:
            old.unlink(missing_ok=True)
        write_whole(path, with_checksum(proof))


def kept(subject: PortId, questions: Questions) -> KeptProof | None:
    """The proof of a port by the same code, with the same packages, on the same machine; None if there is none."""
    with suppress(OSError, ValueError):  # there is none, or it is damaged
        if path := _path(subject, questions):
            proof = record_of(read_whole(path, MOST_BYTES), KeptProof)
            check_date(proof.when)
            return (
                proof
                if proof.digest == digest() and _is_whole(proof.measurements, questions)
                else None
            )
    return None


def _path(subject: PortId, questions: Questions) -> Path | None:
    """The file of a proof; None where none may be kept: there is an accelerator, or the port is not trigru's own."""
    accelerated = any(find_spec(name) is not None for name in ("libtpu", "jax_plugins"))
    if accelerated or subject.source != "port" or subject.name not in own_ports():
        return None
    folder = cache_folder("proofs")
    name = hashlib.sha256(
        msgspec.json.encode([subject, digest(), questions])
    ).hexdigest()[:32]
    return folder and folder / f"{name}.json"


def _is_whole(measurements: list[Measurement], questions: Questions) -> bool:
    """Whether each question has its answer, not that of a smaller row, and all passed."""
    if len(measurements) != len(questions):
        return False
    for m, question in zip(measurements, questions, strict=True):
        blank = unmeasured(get_subject(question.subject), question.check, question.row)
        same = all(
            getattr(m, name) == getattr(blank, name)
            for name in ("port", "kernel", "dtype", "style", "levels")
        )
        if not (
            same
            and passes(m)
            and (question.row is not None or m.check == question.check)
        ):
            return False
    return True


@cache
def digest() -> str:
    """The digest of all that a proof depends on, as it was at this process's first call. It takes a second or two."""
    return digest_of(os.environ, sys.path, own_roots())


def nothing_changed() -> bool:
    """Whether what a proof depends on is still as it was when this process first looked."""
    return digest.__wrapped__() == digest()


def digest_of(
    environment: "os._Environ[str] | dict[str, str]",
    search: Iterable[str],
    own: Iterable[Path],
) -> str:
    """The digest of what a proof depends on: where Python looks for modules, and the whole of own folders.

    The current folder and the script's are left out, unless PYTHONPATH has them, and so before the packages.
    """
    found = hashlib.sha256()

    def add(*words: object) -> None:
        found.update(
            "\0".join(map(str, words)).encode(errors="surrogateescape") + b"\n"
        )

    add(
        sys.version,
        os.path.realpath(sys.executable),
        sys.flags,
        platform.machine(),
        platform.libc_ver(),
        processor(),
    )
    of_memory = "XLA_PYTHON_CLIENT_"  # of a GPU, of which no proof is kept
    names = [
        name
        for name in sorted(environment)
        if name.startswith(VARIABLES) and not name.startswith(of_memory)
    ]
    add(cores(), *((name, environment[name]) for name in names))
    for folder in own:
        for path, _ in _files(str(folder), everything=True):
            add("own", path, _content(path))
    script = (
        None
        if sys.flags.safe_path
        else os.path.dirname(os.path.abspath(sys.argv[0]))
        if sys.argv[0]
        else ""
    )
    named = {
        os.path.abspath(place)
        for place in environment.get("PYTHONPATH", "").split(os.pathsep)
        if place
    }
    for place in search:
        if place in ("", os.getcwd(), script) and os.path.abspath(place) not in named:
            continue
        add("search", place)
        for path, status in _files(place):
            read = (
                path.endswith(".py")
                and path.removeprefix(place).strip(os.sep).split(os.sep)[0] in READ
            )
            add(
                path, status.st_size, status.st_mtime_ns, _content(path) if read else ""
            )
    return found.hexdigest()


def own_roots() -> list[Path]:
    """The folders of trigru's own packages, and of those that are installed editable."""
    from ... import common, impls  # pyright: ignore[reportAttributeAccessIssue]

    roots = [
        Path(__file__).parents[1],
        *(Path(path) for package in (common, impls) for path in package.__path__),
    ]
    for distribution in distributions():
        url = msgspec.json.decode(distribution.read_text("direct_url.json") or "{}")
        is_editable = url.get("dir_info", {}).get("editable") and url["url"].startswith(
            "file:"
        )
        if (
            is_editable and distribution.metadata["Name"] != "trigru"
        ):  # whose packages these are
            roots.append(Path(url2pathname(urlparse(url["url"]).path)))
    return sorted(set(roots))


def _files(
    place: str,
    *,
    everything: bool = False,
    seen: frozenset[tuple[int, int]] = frozenset(),
) -> Iterator[tuple[str, os.stat_result]]:
    """The files below a folder that Python imports, or that say what it imports, in order; of an archive, itself.

    Args:
        everything: other files, too.
        seen: folders on the way, to which a link may lead back.
    """
    with suppress(OSError):  # it is gone, or may not be read
        status = os.stat(place)
        here = status.st_dev, status.st_ino
        if not stat.S_ISDIR(status.st_mode):
            yield place, status
        elif here not in seen:
            for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
                package = "." not in entry.name or entry.name.endswith(
                    (".dist-info", ".egg-info", ".libs")
                )
                wanted = (
                    everything
                    or entry.name.endswith(IMPORTED)
                    or entry.name in DESCRIBED
                )
                if (
                    package if entry.is_dir() else wanted
                ) and entry.name not in LEFT_OUT:
                    yield from _files(
                        entry.path, everything=everything, seen=seen | {here}
                    )


def _content(path: str) -> str:
    with suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return ""
