"""The checks of `verify` notice faults that are planted in a port."""

import pytest
from support.faults import FAULTS
from trigru.common.equality.checks import CHECKS, DTYPES, get_checks
from trigru.common.equality.verification import Examiner, questions
from trigru.impls.pure import PORT


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_planted_fault_is_noticed_by_the_check_that_is_there_for_it(fault):
    """The port without the fault passes what the port with it fails."""
    examiner = Examiner(shrink=False)
    with pytest.MonkeyPatch.context() as patching:
        if fault.replaced is not None:
            patching.setattr(*fault.replaced)
        for question in questions([fault.port], DTYPES, get_checks(fault.check)):
            measurement = examiner.ask(*question)
            if measurement.offered and not measurement.passed:
                break
        else:
            pytest.fail(f"no question of the check {fault.check} noticed {fault.what}")
    _, check, case = question
    assert examiner.ask(PORT, check, case).passed


def test_every_check_has_a_fault():
    checks = {check.name for check in CHECKS}
    with_fault = {fault.check for fault in FAULTS}
    # others select the rows of contract; golden notices what oracle and port share
    assert checks - with_fault == {"contract", "golden"}
