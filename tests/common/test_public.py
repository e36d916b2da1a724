"""What users import from `trigru.common`, with the packages that trigru itself requires
and no extra.
"""

import json

import trigru.common
from support.cli import run_code
from trigru.common.errors import EXTRAS

OF_BENCH = sorted(name for name, extra in EXTRAS.items() if extra == "bench")
#: Python takes a module that is None in `sys.modules` for one that is not installed.
WITHOUT_BENCH = f"import sys\nsys.modules.update(dict.fromkeys({OF_BENCH}))\n"


def test_every_name_can_be_imported_without_the_extra_bench():
    names = json.loads(
        run_code(
            WITHOUT_BENCH
            + "import json, trigru.common as common\n"
            + "print(json.dumps([name for name in dir(common) if getattr(common, "
            "name)]))"
        )
    )
    assert names == sorted(trigru.common.__all__)


def test_a_port_is_checked_without_the_extra_bench():
    run_code(
        WITHOUT_BENCH
        + "from trigru.common import assert_equivalent, get_checks\n"
        + "from trigru.impls import get_port\n"
        + "assert_equivalent(get_port('pure'), dtypes=['float32'], "
        "checks=get_checks('chunks'))"
    )
