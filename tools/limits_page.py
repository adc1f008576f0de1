"""``docs/reference/limits.md``, from ``tenterhook.sandbox.KINDS`` and the settings."""

from __future__ import annotations

from tenterhook.sandbox import KINDS, LimitKind
from tenterhook.sandbox.limit_kinds import unit_of
from tenterhook.settings import Settings, environment_name

_INTRODUCTION = """\
# Limits

*Written by `make docs` from `src/tenterhook/sandbox/limit_kinds.py`.*

What a hook may use. It has the default unless it has a value of its own; a value of its own lies between the least and
the maximum, both included. The operator sets default and maximum. How: [Limits and egress](../how-to/limits-and-egress.md).
"""

_SCOPES = """\
Limits of a run hold for each run by itself. Limits of a process hold for all the runs that it has open at a time; hooks
of a tenant share processes only where these limits are the same for them.
"""


def render() -> str:
    """Return the page."""
    settings = Settings.model_construct()
    rows = [
        "| limit | of a | option | least | default | maximum | meaning |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(kind, settings) for kind in KINDS),
    ]
    names = ["| limit | setting of the default | setting of the maximum |", "| --- | --- | --- |"]
    names += [
        f"| `{kind.name}` | `{environment_name(kind.setting)}` | `{environment_name(kind.maximum_setting)}` |"
        for kind in KINDS
    ]
    return "\n".join([_INTRODUCTION, *rows, "", _SCOPES, "## Settings", "", *names, ""])


def _row(kind: LimitKind, settings: Settings) -> str:
    amounts = (kind.minimum, kind.default(settings), kind.maximum(settings))
    cells = " | ".join(_amount(kind, amount) for amount in amounts)
    scope = "process" if kind.of_process else "run"
    return f"| `{kind.name}` | {scope} | `{kind.option}` | {cells} | {kind.meaning} |"


def _amount(kind: LimitKind, amount: float) -> str:
    if kind.unit == "bytes":
        for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
            if amount >= size and amount % size == 0:
                return f"{amount / size:g} {unit}"
    return f"{kind.text_of(amount)} {unit_of(amount, kind.unit)}"
