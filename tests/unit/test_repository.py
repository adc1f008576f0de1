"""The repository's own rules: what may stand in a file, what a package shows, what a lock file holds."""

from __future__ import annotations

import ast
import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tenterhook"
LOCK_FILES = ("requirements.lock", "requirements-dev.lock")

# In pieces, because this file is looked through too.
REGISTRY_HOSTS = re.compile(
    r"|".join(
        re.escape(host)
        for host in (
            "npmjs" + ".org",
            "npmjs" + ".com",
            "pypi" + ".org",
            "python" + "hosted",
            "debian" + ".org",
            "crates" + ".io",
            "yarn" + "pkg.com",
        )
    )
)
PLACES_OF_ONE_MACHINE = re.compile(r"(?<![\w.~}/-])/(?:" + r"work/|root/|tmp/\w)")


def _ignored() -> list[str]:
    patterns = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines() if line.strip()]
    return [*patterns, ".git/"]


def _is_ignored(path: Path, patterns: list[str]) -> bool:
    for pattern in patterns:
        name = pattern.strip("/")
        candidates = [path.relative_to(ROOT).as_posix()] if pattern.startswith("/") else [path.name]
        if pattern.endswith("/") and not path.is_dir():
            continue
        if any(fnmatch.fnmatch(candidate, name) for candidate in candidates):
            return True
    return False


def _files(folder: Path = ROOT) -> list[Path]:
    """Return what would be committed: a walk, not git's list, so that a copy without git can be tested too."""
    patterns = _ignored()
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if _is_ignored(path, patterns):
            continue
        found += _files(path) if path.is_dir() else [path]
    return found


def _lines_with(pattern: re.Pattern[str], *, in_locks: bool) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in _files()
        if in_locks or path.name not in LOCK_FILES
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_every_file_is_text():
    """Built things, archives and pictures of other people's making do not belong into the repository."""
    assert [path.relative_to(ROOT).as_posix() for path in _files() if b"\0" in path.read_bytes()[:4096]] == []


def test_no_file_names_a_package_registry():
    assert _lines_with(REGISTRY_HOSTS, in_locks=True) == []


def test_no_file_names_a_place_on_one_machine():
    assert _lines_with(re.compile(re.escape(f"{ROOT}/")), in_locks=True) == []
    assert _lines_with(PLACES_OF_ONE_MACHINE, in_locks=True) == []


@pytest.mark.parametrize("text", ["cd /" + "work/main", "see /" + "root/x", "'/" + "tmp/socket'"])
def test_places_on_one_machine_are_recognised(text):
    assert PLACES_OF_ONE_MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["16 MiB of /tmp", "{data}/work/file", "https://host/work/", "~/home/x", "network/root/x"]
)
def test_other_paths_are_not_taken_for_places_on_one_machine(text):
    assert not PLACES_OF_ONE_MACHINE.search(text)


@pytest.mark.parametrize("name", LOCK_FILES)
def test_every_locked_package_has_hashes_and_the_lock_no_address(name):
    text = (ROOT / name).read_text()
    entries = re.split(
        r"\n(?=[a-z0-9])", text[text.index("\n", text.rindex("#    make lock")) :].replace("\n#\n", "\n", 1)
    )
    packages = [entry for entry in entries if re.match(r"[a-z0-9-]+==", entry)]
    assert len(packages) == len(re.findall(r"^[a-z0-9-]+==", text, re.MULTILINE)) > 10
    assert [entry.split()[0] for entry in packages if "--hash=sha256:" not in entry] == []
    assert not re.search(r"://|--index-url|--extra-index-url|--find-links|--trusted-host| @ ", text)


def test_the_developers_lock_agrees_with_the_operators():
    operators, developers = (
        set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / name).read_text(), re.MULTILINE)) for name in LOCK_FILES
    )
    assert operators <= developers


def test_every_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, wanted in (
        ("requirements.lock", project["dependencies"]),
        ("requirements-dev.lock", [*project["dependencies"], *project["optional-dependencies"]["dev"]]),
    ):
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / name).read_text(), re.MULTILINE))
        asked = {
            re.match(r"[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")
            for requirement in wanted
        }
        assert asked - locked == set()


def _packages() -> list[Path]:
    return sorted(
        path
        for path in SOURCE.rglob("__init__.py")
        if path.parent != SOURCE and "migrations" not in path.parts
    )


@pytest.mark.parametrize("path", _packages(), ids=lambda path: path.parent.relative_to(SOURCE).as_posix())
def test_a_package_shows_its_public_names_and_nothing_else(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a package says in its docstring what it is for"
    imported: set[str] = set()
    listed: list[str] = []
    for node in tree.body[1:]:
        match node:
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.ImportFrom():
                imported |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                listed = ast.literal_eval(node.value)
            case _:
                pytest.fail(f"line {node.lineno}: a package holds its public names and nothing else")
    assert set(listed) == imported
    assert len(listed) == len(set(listed))


def test_no_folder_is_named_for_a_kind_of_code():
    kinds = {"utils", "util", "common", "helpers", "models", "types", "misc", "lib"}
    assert [
        path
        for path in _files()
        if kinds & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}
    ] == []


def test_changelog_fragments_say_what_kind_of_change_they_are():
    kinds = {"added", "changed", "fixed", "removed", "security"}
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [
        path.name
        for path in fragments
        if path.suffixes[-1:] != [".md"] or path.stem.rpartition(".")[2] not in kinds
    ] == []


def test_continuous_integration_runs_the_developers_two_commands():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make check", "make test"]
