"""What a plan says of itself."""

import pytest
from support.runs import plan


@pytest.mark.parametrize(
    ("workloads", "swept"),
    [
        (["tiny@hidden=4", "tiny@hidden=6"], "hidden"),
        (["tiny@batch=2@hidden=4", "tiny@batch=2@hidden=6"], "hidden"),  # another size is fixed
        (["tiny@batch=2@hidden=4", "tiny@batch=3@hidden=6"], None),
        (["tiny@hidden=4", "question@hidden=6"], None),
        (["tiny", "tiny@hidden=4", "tiny@hidden=6"], None),
        (["tiny@hidden=4"], None),
    ],
)
def test_a_sweep_varies_one_size_of_one_workload(workloads, swept):
    assert plan(workloads=workloads).swept == swept
