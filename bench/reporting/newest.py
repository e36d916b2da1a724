"""The newest versions that this release was tested with, by Python. Read from a table, never from the network."""

from itertools import takewhile

#: By the least Python that has them; the same as the constraints in pyproject.toml.
TESTED = {
    "3.11": {"jax": "0.10.2", "flax": "0.12.8", "equinox": "0.13.8"},
    "3.12": {"jax": "0.12.0.1", "flax": "0.12.12", "equinox": "0.13.8"},
}


def newer_versions(versions: dict[str, str]) -> list[str]:
    """A sentence if this release was tested with a newer jax, flax or equinox than these, on a later Python or on this.

    >>> newer_versions({"python": "3.11.2", "jax": "0.10.2", "flax": "0.12.8"})
    ['Python 3.12 or later has newer versions: jax 0.12.0.1, flax 0.12.12. They may answer differently.']
    >>> newer_versions({"python": "3.13.0", "jax": "0.10.2"})
    ['trigru was tested with newer versions: jax 0.12.0.1. They may answer differently.']
    >>> newer_versions({"python": "3.13.0", "jax": "0.9.0"})
    ['trigru was tested with newer versions: jax 0.12.0.1. They may answer differently.']
    >>> newer_versions({"python": "3.13.0", "jax": "0.12.0.1"})
    []
    """
    python = _numbers(versions.get("python", ""))
    for least, tested in reversed(TESTED.items()):
        newer = [
            f"{name} {version}"
            for name, version in tested.items()
            if name in versions and _numbers(versions[name]) < _numbers(version)
        ]
        if newer:
            where = f"Python {least} or later has" if python < _numbers(least) else "trigru was tested with"
            return [f"{where} newer versions: {', '.join(newer)}. They may answer differently."]
    return []


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in takewhile(str.isdigit, version.split(".")))
