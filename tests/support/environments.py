"""Version sets without an installation: environments that are made up."""

from pathlib import Path

from trigru.bench.upgrades.environments import Environment, EnvironmentFailedError, Environments
from trigru.bench.upgrades.versions import read_set

SETS = [read_set(f"jax==0.{n}.0") for n in range(4)]


class Made(Environments):
    """Environments without an installation. A set may fail to install, for good or this time."""

    python = "3.13"

    def __init__(self, failing=()):
        self.failing = dict(failing)
        self.made = []

    def get(self, of):
        self.made.append(of.name)
        if of.name in self.failing:
            raise EnvironmentFailedError("no such wheel", lasting=self.failing[of.name])
        return Environment(Path(of.name), {"jax": of.name.partition("==")[2], "rich": "13"})
