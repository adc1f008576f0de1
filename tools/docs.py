"""Write the reference pages that are made from the program, or say which of them have fallen behind.

python tools/docs.py            writes them
python tools/docs.py --check    compares, changes nothing, exits with 1 when a page differs
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cli_page
import errors_page
import escapes_page
import extensibility_points
import limits_page
import settings_page

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page.render,
    "limits.md": limits_page.render,
    "errors.md": errors_page.render,
    "escapes.md": escapes_page.render,
    "cli.md": cli_page.render,
    "extensibility-points.md": extensibility_points.render,
}


def main() -> None:
    """Write or compare every page."""
    behind = [name for name, render in PAGES.items() if _text_of(name) != render()]
    if "--check" in sys.argv[1:]:
        if behind:
            sys.exit(f"Run `make docs`: docs/reference has fallen behind the program: {', '.join(behind)}")
        return
    for name in behind:
        (REFERENCE / name).write_text(PAGES[name]())
        print(f"wrote docs/reference/{name}")


def _text_of(name: str) -> str | None:
    page = REFERENCE / name
    return page.read_text() if page.is_file() else None


if __name__ == "__main__":
    main()
