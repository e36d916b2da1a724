"""Where compiled programs are kept from one command to the next."""

import hashlib
import platform
from pathlib import Path

from ..processes.scratch import cache_folder

CPU_INFO = Path("/proc/cpuinfo")
#: Beginnings of lines of /proc/cpuinfo that say which instructions a processor has.
INSTRUCTIONS = ("flags", "Features", "model name")


def programs_folder() -> Path | None:
    """The folder of this user and processor; None where no programs are kept."""
    return cache_folder("programs", processor())


def processor() -> str:
    """A name for the processor's instructions.

    A program made for one processor may not run on another one.
    """
    facts = [platform.processor()]
    if CPU_INFO.exists():
        lines = CPU_INFO.read_text(errors="replace").splitlines()
        of_instructions = {line for line in lines if line.startswith(INSTRUCTIONS)}
        facts = sorted(of_instructions) or lines[:1]
    text = "\n".join([platform.machine(), *facts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
