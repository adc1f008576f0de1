"""Fetch the real modules that tests install, once: ``python tests/registry/fetch.py``.

npm's own configuration says from where. What is already there is verified and not asked for again, so a second run
needs no network. ``--relock`` makes ``packages.json`` anew from its roots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tenterhook.sandbox.modules import ModuleError
from tenterhook.sandbox.modules.npm import Npm, NpmFailure, translate
from tests.registry.packages import ARCHIVES, PACKAGES_FILE, Package, integrity_of, packages, roots

AT_ONCE = 24


async def fetch(missing: list[Package], folder: Path) -> None:
    """Fetch packages through npm and put those that are what the list promises into place."""
    npm = Npm(cache=folder / "npm-cache")
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), AT_ONCE):
        batch = missing[start : start + AT_ONCE]
        print(f"modules for tests: {start}/{len(missing)} fetched", flush=True)
        wanted = {f"{package.name}@{package.version}": package for package in batch}
        try:
            # `npm pack` fetches by the address that the registry told it, which it counts as remote.
            output = await npm.run("pack", *wanted, folder=folder, options=("--allow-remote=all",))
        except NpmFailure as failure:
            raise translate(failure, "fetching the modules that tests install") from failure
        for entry in json.loads(output):
            package = wanted[f"{entry['name']}@{entry['version']}"]
            archive = folder / entry["filename"]
            if integrity_of(archive.read_bytes()) != package.integrity:
                sys.exit(
                    f"{package.name} {package.version} is not what tests/registry/packages.json promises."
                )
            shutil.move(archive, package.archive)
    print(f"modules for tests: {len(missing)}/{len(missing)} fetched", flush=True)


async def relock(folder: Path) -> None:
    """Write ``packages.json`` for its roots as npm resolves them today."""
    dependencies = {}
    for number, root in enumerate(roots()):
        dependencies[f"root-{number}"] = f"npm:{root}"
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": dependencies}))
    await Npm(cache=folder / "npm-cache").run("install", folder=folder, options=("--package-lock-only",))
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    entries = {
        (entry.get("name") or path.rpartition("node_modules/")[2], entry["version"]): entry["integrity"]
        for path, entry in locked.items()
        if path
    }
    listed = [
        {"name": name, "version": version, "integrity": integrity}
        for (name, version), integrity in sorted(entries.items())
    ]
    lines = ",\n    ".join(json.dumps(entry) for entry in listed)
    PACKAGES_FILE.write_text(
        f'{{\n  "roots": {json.dumps(roots())},\n  "packages": [\n    {lines}\n  ]\n}}\n'
    )


def main() -> None:
    """Fetch what is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--relock", action="store_true", help="choose the versions of dependencies anew first"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if arguments.relock:
                asyncio.run(relock(Path(folder)))
            missing = [package for package in packages() if not package.is_fetched()]
            if missing:
                asyncio.run(fetch(missing, Path(folder)))
        except ModuleError as error:
            sys.exit(f"The modules that tests install could not be fetched. {error.message}")
    print(f"modules for tests: {len(packages())} present")


if __name__ == "__main__":
    main()
