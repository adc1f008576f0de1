"""``docs/reference/escapes.md``: every attempt to leave the sandbox, and what came of it in each mode.

The rows are the tests' own table. The outcomes come from ``.cache/escapes.json``, which the tests leave behind; where that
has none, the page's own stay. ``--check`` looks at the rows alone, so that a check needs no test run and a test run
changes no file of the repository.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the table belongs to the tests, which are no package that is installed

from tests.escapes.attempt import Attempt, Mode  # noqa: E402 - only now can it be found
from tests.escapes.catalogue import THEMES  # noqa: E402

_PAGE = ROOT / "docs" / "reference" / "escapes.md"
_RECORD = ROOT / ".cache" / "escapes.json"
_UNKNOWN = "not run"

_INTRODUCTION = """\
# Attempts to leave the sandbox

*Written by `make docs` from the table in `tests/escapes/` and what its last run saw.*

Every row is a hook that tries something, with JavaScript or with native code, and a test in each of the modes:

{modes}

**refused**: the attempt failed, and the hook's process went on. **ended**: its process was ended, or ended itself, and
nothing else was harmed. **not run**: the machine lacked what the row needs. **open**: nothing stops it in this mode; the
remark says why. In **bold**: the test also took away the protections that are named, and nothing else, and saw the same
attempt succeed; so it shows what they are good for. Where it is not in bold, somebody else refuses too, as the remark says.
No setting, variable or command line takes a protection away: only the tests' own code can.
"""


def render() -> str:
    """Return the page."""
    outcomes = _outcomes()
    modes = "\n".join(f"- **{mode}**: {_sentence(mode)}" for mode in Mode)
    parts = [_INTRODUCTION.format(modes=modes)]
    for theme, attempts in THEMES.items():
        heads = " | ".join(Mode)
        parts.append(f"## {theme}\n\n| attempt | {heads} | stopped by | remark |")
        parts.append("| --- " * (len(Mode) + 3) + "|")
        parts += [_row(attempt, outcomes) for attempt in attempts]
        parts.append("")
    return "\n".join(parts)


def _sentence(mode: Mode) -> str:
    """Return the sentence under a mode's line in the source: members of an enumeration have no docstring of their own."""
    source = (ROOT / "tests" / "escapes" / "attempt.py").read_text()
    found = re.search(rf'    {mode.name} = "{mode}"\n    """(.*?)"""', source, re.DOTALL)
    if found is None:
        sys.exit(f"Mode.{mode.name} has no sentence under it in tests/escapes/attempt.py")
    return " ".join(found[1].split())


def _row(attempt: Attempt, outcomes: Mapping[str, Mapping[str, str]]) -> str:
    cells = []
    for mode in Mode:
        outcome = outcomes.get(mode, {}).get(attempt.name, _UNKNOWN) if mode in attempt.held else "open"
        proven = mode in attempt.proven and outcome not in {_UNKNOWN, "open"}
        cells.append(f"**{outcome}**" if proven else outcome)
    stopped = ", ".join(sorted(each.replace("_", " ") for each in attempt.removed)) or "always"
    return f"| {_cell(attempt.name)} | {' | '.join(cells)} | {stopped} | {_cell(attempt.why)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _outcomes() -> dict[str, dict[str, str]]:
    """Return outcome by mode and name: what the page says, and over it, unless only checking, what was seen last."""
    known: dict[str, dict[str, str]] = {mode: {} for mode in Mode}
    if _PAGE.is_file():
        heads: list[str] = []
        for line in _PAGE.read_text().splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if cells[:1] == ["attempt"]:
                heads = cells
            elif heads and len(cells) == len(heads):
                name = cells[0].replace("\\|", "|")
                for head, cell in zip(heads, cells, strict=True):
                    if head in known and cell.strip("*") not in {_UNKNOWN, "open"}:
                        known[head][name] = cell.strip("*")
    if "--check" not in sys.argv[1:] and _RECORD.is_file():
        for mode, rows in json.loads(_RECORD.read_text()).items():
            known.setdefault(mode, {}).update(rows)
    return known
