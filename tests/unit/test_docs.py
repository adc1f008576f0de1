"""The pages tell the truth: generated ones are current, links lead somewhere, commands and paths that they name exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tenterhook.cli.program import program
from tenterhook.errors import TenterhookError
from tenterhook.hooks import POINTS
from tenterhook.settings import Settings, environment_name, load

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "tenterhook"
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("changelog.d/*.md"), *ROOT.glob("bench/*.md"), *DOCS.rglob("*.md")]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def test_generated_pages_are_current():
    compared = subprocess.run(
        [sys.executable, ROOT / "tools" / "docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert compared.returncode == 0, compared.stderr


# What stands in the generated pages, asked of the program in another way than the generator asks.


def test_every_setting_is_documented():
    page = (DOCS / "reference" / "settings.md").read_text()
    assert [name for name in Settings.model_fields if f"| `{environment_name(name)}` |" not in page] == []
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_settings_file_on_the_page_loads(tmp_path, monkeypatch):
    page = (DOCS / "reference" / "settings.md").read_text()
    sample = page.partition("```toml\n")[2].partition("```")[0]
    lines = [line.removeprefix("# ") for line in sample.splitlines() if re.match(r"# \w+ = (?!\"…\")", line)]
    file = tmp_path / "tenterhook.toml"
    file.write_text("\n".join(lines))
    monkeypatch.setenv("TENTERHOOK_CONFIG_FILE", str(file))
    assert load().port == 8585


def _all_errors(error: type[TenterhookError] = TenterhookError) -> Iterator[type[TenterhookError]]:
    yield error
    for beneath in error.__subclasses__():
        yield from _all_errors(beneath)


def test_every_error_is_documented_with_a_sentence():
    page = (DOCS / "reference" / "errors.md").read_text()
    errors = {error for error in _all_errors() if error.__module__.startswith("tenterhook.")}
    assert sorted(error.__name__ for error in errors if f"`{error.code}`" not in page) == []
    assert sorted(error.__name__ for error in errors if not re.search(rf"\b{error.__name__}\b", page)) == []
    assert (
        sorted(error.__name__ for error in errors if "__doc__" not in vars(error) or not error.__doc__) == []
    )


def test_every_extensibility_point_is_documented():
    page = (DOCS / "reference" / "extensibility-points.md").read_text()
    assert [point.trigger_id for point in POINTS if f"`{point.trigger_id}`" not in page] == []
    assert [
        (point.trigger_id, parameter.path)
        for point in POINTS
        for parameter in point.parameters
        if f"`{parameter.path}`" not in page
    ] == []


def _command_names(group: object = None, path: str = "") -> Iterator[str]:
    command = get_command(program) if group is None else group
    if isinstance(command, TyperGroup):
        for name, member in command.commands.items():
            yield from _command_names(member, f"{path} {name}".strip())
    else:
        yield path


def test_every_command_is_documented():
    page = (DOCS / "reference" / "cli.md").read_text()
    assert [name for name in _command_names() if f"## tenterhook {name}\n" not in page] == []


def test_every_dependency_has_its_reason():
    page = (DOCS / "decisions" / "0002-dependencies.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = [re.match(r"[A-Za-z0-9._-]+", requirement).group() for requirement in wanted]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_glossary_is_in_alphabetical_order():
    page = (DOCS / "reference" / "glossary.md").read_text()
    words = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)[2:]
    assert words == sorted(words, key=str.casefold)
    assert len(words) == len(set(words))


def test_words_that_the_glossary_refers_to_are_in_it():
    page = (DOCS / "reference" / "glossary.md").read_text()
    words = set(re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE))
    referred = set(re.findall(r"(?<!\*)\*([a-z ]+)\*", page))
    assert {word for word in referred if word not in words and word.removesuffix("s") not in words} == set()


@every_page
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert broken == []


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_commands_to_paste_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = set(_command_names())
    unknown = []
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for index, word in enumerate(words):
                following = [
                    part for part in words[index + 1 : index + 3] if re.fullmatch(r"[a-z][a-z-]*", part)
                ]
                if word == "make" and not set(following[:1]) <= targets:
                    unknown.append(line)
                if word.rpartition("/")[2] == "tenterhook" and index in {0, _command_position(words)}:
                    names = {" ".join(following[:count]) for count in (1, 2)}
                    if following and not names & known:
                        unknown.append(line)
    assert unknown == []


def _command_position(words: list[str]) -> int:
    """Return where the command stands after ``NAME=value`` words."""
    return next((index for index, word in enumerate(words) if "=" not in word), 0)


@every_page
def test_files_that_a_page_names_exist(page):
    """What ends like one of our files must be one: from the root, the package, or, a bare name, anywhere in it."""
    named = set(re.findall(r"`([\w./-]+(?:\.(?:py|cjs|js|md|sh|toml|lock)|/))`", page.read_text()))
    made_later = {"dist/", ".venv/"}
    assert sorted(name for name in named - made_later if not _exists(name, page)) == []


def _exists(name: str, page: Path) -> bool:
    """Say whether a name is a file or a folder with something in it: git keeps no empty folders."""
    paths = [base / name for base in (ROOT, SOURCE, page.parent)]
    if "/" not in name:
        paths += SOURCE.rglob(name)
    return any(path.is_file() or (path.is_dir() and any(path.iterdir())) for path in paths)


def test_the_architecture_shows_every_room():
    page = (DOCS / "explanation" / "architecture.md").read_text()
    rooms = {
        path.stem for path in SOURCE.iterdir() if path.name[0] not in "_." and path.suffix in {"", ".py"}
    }
    assert sorted(room for room in rooms if f"{room}/" not in page and f"{room}.py" not in page) == []
