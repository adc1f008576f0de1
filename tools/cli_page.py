"""``docs/reference/cli.md``: every command with its arguments and options, from the program itself."""

from __future__ import annotations

from collections.abc import Iterator

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tenterhook.cli.program import program

_INTRODUCTION = """\
# Command line

*Written by `make docs` from the program.* `tenterhook COMMAND --help` says the same.
"""


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yield every command that does something, as ``runs show`` and its definition, in the program's order."""
    yield from _beneath(get_command(program), "")


def render() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, *(_section(path, command) for path, command in commands())])


def _beneath(command: object, path: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, member in command.commands.items():
            yield from _beneath(member, f"{path} {name}".strip())
    elif isinstance(command, TyperCommand) and not command.hidden:
        yield path, command


def _section(path: str, command: TyperCommand) -> str:
    title = f"tenterhook {path}"
    context = command.context_class(command, info_name=title)
    usage = " ".join([title, *command.collect_usage_pieces(context)])
    lines = [f"## {title}", "", "```text", usage, "```", "", _paragraphs(command.help), ""]
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        lines += [f"| `{_cell(names)}` | {_cell(meaning)} |" for names, meaning in records]
        lines.append("")
    return "\n".join(lines)


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n")).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
