"""Compare a built wheel with the source: everything of the package is in it, and nothing else."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"

# Forgetting one of these breaks the installed program while the clone still works.
INDISPENSABLE = (".py", ".cjs", ".mako", "py.typed")


def main() -> None:
    """Check the wheel named on the command line."""
    wheel = Path(sys.argv[1])
    expected = {
        str(file.relative_to(SOURCE))
        for file in (SOURCE / "tenterhook").rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    complaints = [f"missing in the wheel: {name}" for name in sorted(expected - packed)]
    complaints += [f"should not be in the wheel: {name}" for name in sorted(packed - expected)]
    complaints += [
        f"the wheel has no file *{ending}"
        for ending in INDISPENSABLE
        if not any(name.endswith(ending) for name in packed)
    ]
    if complaints:
        sys.exit("\n".join(complaints))
    print(f"{wheel.name}: {len(packed)} files, {wheel.stat().st_size // 1024} KiB, complete")


if __name__ == "__main__":
    main()
