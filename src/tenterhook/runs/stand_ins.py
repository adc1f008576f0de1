"""What stands in where the platform fails: for a preparation that raised, and for a result that the database refuses.

Either way the attempt is recorded and says so; neither is a silent loop.
"""

from __future__ import annotations

from tenterhook.runs.run import SUCCESSES, AttemptOutcome, AttemptResult, Observe, Run


class UnstorableResult(AttemptResult):
    """What is left of a result that the database refused."""

    @classmethod
    def of(cls, result: AttemptResult, error: Exception) -> UnstorableResult:
        """Keep what can be kept: how it ended, and when."""
        outcome = AttemptOutcome.ERROR if result.outcome in SUCCESSES else result.outcome
        message = f"The result of the attempt could not be stored: {type(error).__name__}."
        return cls(
            outcome=outcome,
            error={"name": "Error", "message": message},
            notes=(f"it had ended as: {result.outcome.value}",),
            called_back_at=result.called_back_at,
            settled_at=result.settled_at,
        )


class FailedPreparation:
    """Stands for a run that the platform failed to prepare: its attempt is recorded, and ends as interrupted."""

    code_version: int | None = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def execute(self, run: Run, attempt: int, observe: Observe) -> AttemptResult:
        """Raise what preparing raised."""
        del run, attempt, observe
        raise self._error
