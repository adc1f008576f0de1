"""Every attempt to leave the sandbox fails, and succeeds as soon as what stops it is taken away.

One test for each row of the table and each mode it is executed in. Rows that need what this machine or user has not are
shown as not run.
"""

from __future__ import annotations

import pytest

from tests.escapes.attempt import Attempt, Mode
from tests.escapes.batch import NO_ANSWER
from tests.escapes.catalogue import ATTEMPTS
from tests.escapes.conftest import Outcomes, missing


@pytest.mark.timeout(600)  # the first test of a mode waits for all of them
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
@pytest.mark.parametrize("mode", Mode)
def test_attempt(attempt: Attempt, mode: Mode, outcomes: Outcomes) -> None:
    need = missing(attempt, mode)
    if need is not None:
        pytest.skip(f"needs {need}: not run")
    outcome = outcomes(mode)[attempt.name]
    for observed in (outcome.held, outcome.removed):
        assert observed is None or not observed.words.startswith(NO_ANSWER), observed.words
    if outcome.held is not None:
        assert not attempt.escaped(outcome.held), f"it escaped: {outcome.held}"
    if mode in attempt.proven:
        assert outcome.removed is not None
        assert attempt.escaped(outcome.removed), (
            f"without its protections it proves nothing: {outcome.removed}"
        )
