"""Version sets without an installation: environments that are made up."""

from collections.abc import Mapping

from trigru.bench.upgrades.environments import Environment, EnvironmentFailedError, Environments, VersionSet, read_set

RELEASES = [f"0.{n}.0" for n in range(1, 7)]
SETS = [read_set(f"jax==0.{n}.0") for n in range(4)]


class Made(Environments):
    """Environments without an installation, of the versions that a set names, whose command passes on the set's name.

    Args:
        failing: the names of sets that fail to install, and whether each does so for good.
    """

    python = "3.13"

    def __init__(self, failing: Mapping[str, bool] | None = None):
        self.failing = failing or {}
        self.made: list[str] = []

    def get(self, of: VersionSet) -> Environment:
        self.made.append(of.name)
        if of.name in self.failing:
            raise EnvironmentFailedError("no such wheel", lasting=self.failing[of.name])
        versions = dict(requirement.split("==") for requirement in of.requirements)
        return Environment(("env", f"VERSION_SET={of.name}"), versions | {"rich": "13"})

    def releases(self, package: str) -> list[str]:
        return RELEASES


def release_of(made: Environment) -> int:
    return int(made.versions["jax"].split(".")[1])
