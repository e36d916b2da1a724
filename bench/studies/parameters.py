"""Does the time of a program depend on the parameters that it is given? `python bench/studies/parameters.py`

In https://github.com/patrick-kidger/equinox/issues/928 one framework seemed much slower than another, because each had
drawn parameters of its own. Here the programs of linen and Equinox run on the parameters that each framework's own cell
draws; `trigru verify` shows that the programs compute the same. docs/results/claims.json has what was found on one
machine.
"""

from functools import cache, partial

import jax
from timed import Arms, measure, program_of
from trigru.bench.arms.workloads import get_workload
from trigru.bench.results.arm import Sized
from trigru.common.parameters.record import GRUParams
from trigru.common.port.protocol import FUNCTIONAL
from trigru.impls.upstream import get_upstream

FRAMEWORKS, WORKLOAD = ("linen", "equinox"), "question"


@cache
def drawn(framework: str) -> GRUParams:
    """The parameters that a framework's own cell draws by default, in canonical layout."""
    source = get_upstream(framework).PORT
    return source.dump(source.make(get_workload(Sized(WORKLOAD)).config(), jax.random.key(0)))


def arms() -> Arms:
    """Each framework's program on the parameters that each framework draws."""
    return {
        f"{program}, drawn by {drawn_by}": partial(program_of, program, FUNCTIONAL, WORKLOAD, drawn(drawn_by))
        for program in FRAMEWORKS
        for drawn_by in FRAMEWORKS
    }


if __name__ == "__main__":
    for name, (time_ms, r, verdict) in measure(arms).items():
        print(f"{name}: {time_ms:.4g} ms, {r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}], {verdict}")
