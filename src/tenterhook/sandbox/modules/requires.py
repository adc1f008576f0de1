r"""Which modules a script asks for: ``require`` and ``import()`` with a fixed text, found by a parser.

    require('lodash')                     lodash, version for us to choose
    require("slack-notify@2.0.7")         exactly that version
    require(`@scope/pkg@1.2.3/lib/x`)     with a path inside
    import('uuid')                        the same, for modules written as ES modules
    require('fs'), require('node:fs')     Node's own: not reported
    require('./helper')                   a problem: a hook is one file
    require(name), require('a' + b)       not seen; declare such modules in ``dependencies``

Limits: a local variable named ``require`` is taken for the real one, so its modules are installed without need.
Tree-sitter may not know the newest syntax; ``allow_syntax_errors`` reads on behind what it does not understand, for
callers who know from Node that the script compiles.
"""

from __future__ import annotations

import dataclasses
import re

import tree_sitter
import tree_sitter_javascript

from tenterhook.sandbox.modules.names import is_exact_version, is_module_name
from tenterhook.sandbox.modules.node_builtins import is_builtin

_LANGUAGE = tree_sitter.Language(tree_sitter_javascript.language())
_CALLS = tree_sitter.Query(
    _LANGUAGE,
    """
    (call_expression
      function: [(identifier) (import)] @function
      arguments: (arguments) @arguments)
    """,
)
_SPECIFIER = re.compile(r"(?P<name>(?:@[^/@]+/)?[^/@]+)(?:@(?P<version>[^/]*))?(?P<subpath>/.*)?", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|(.))", re.DOTALL)
_CONTROL_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_PATH = re.compile(r"\.{1,2}(?:/|$)|[/\\]|file:|[A-Za-z]:[/\\]")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """One place in the script that asks for a module from the registry."""

    text: str
    """Exactly as written: ``@scope/pkg@1.2.3/lib/x``."""
    name: str
    """The module: ``@scope/pkg``."""
    version: str | None
    """The exact version behind the name, or None."""
    subpath: str
    """The path inside the module with its slash: ``/lib/x``, or empty."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""

    @property
    def specifier(self) -> str:
        """Return the text without the path: ``@scope/pkg@1.2.3``."""
        return self.name if self.version is None else f"{self.name}@{self.version}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RequireProblem:
    """One place that asks for something no hook can have."""

    text: str
    """Exactly as written."""
    reason: str
    """A sentence for the author that says what to do instead."""
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RequiredModules:
    """What a script asks for, in the order of the text."""

    modules: tuple[Requirement, ...] = ()
    """One per place, so a module may come more than once."""
    problems: tuple[RequireProblem, ...] = ()
    """What can never work."""
    parsed: bool = True
    """False when the parser did not understand the script; then nothing is listed unless asked for."""


def required_modules(source: str, *, allow_syntax_errors: bool = False) -> RequiredModules:
    """Find the modules that a script asks for."""
    # Lone surrogates cannot be UTF-8; they cannot be part of a module's name either.
    data = source.encode("utf-8", "replace")
    root = tree_sitter.Parser(_LANGUAGE).parse(data).root_node
    if root.has_error and not allow_syntax_errors:
        return RequiredModules(parsed=False)
    modules: list[Requirement] = []
    problems: list[RequireProblem] = []
    for _pattern, captures in tree_sitter.QueryCursor(_CALLS).matches(root):
        if captures["function"][0].text not in {b"require", b"import"}:
            continue
        given = (child for child in captures["arguments"][0].named_children if child.type != "comment")
        argument = next(given, None)
        text = _fixed_text(argument) if argument is not None else None
        if argument is None or text is None:
            continue
        found = _classify(text, *_position(data, argument))
        if isinstance(found, Requirement):
            modules.append(found)
        elif found is not None:
            problems.append(found)
    return RequiredModules(
        modules=tuple(sorted(modules, key=lambda found: (found.line, found.column))),
        problems=tuple(sorted(problems, key=lambda found: (found.line, found.column))),
        parsed=not root.has_error,
    )


def _classify(text: str, line: int, column: int) -> Requirement | RequireProblem | None:
    """Judge one text; None is what Node answers without a module."""
    if is_builtin(text) or text.startswith("data:"):
        return None

    def problem(reason: str) -> RequireProblem:
        return RequireProblem(text=text, reason=reason, line=line, column=column)

    if _PATH.match(text):
        return problem(
            "a hook is one file; other files cannot be loaded by path. Paste the code into the hook."
        )
    match = _SPECIFIER.fullmatch(text)
    if match is None or not is_module_name(match["name"]):
        return problem("that is not the name of an npm module.")
    version = match["version"]
    if version is not None and not is_exact_version(version):
        return problem(
            f"behind @ there must be one exact version such as {match['name']}@1.2.3. Ranges and tags belong "
            "into the hook's dependencies."
        )
    return Requirement(
        text=text,
        name=match["name"],
        version=version,
        subpath=match["subpath"] or "",
        line=line,
        column=column,
    )


def _fixed_text(node: tree_sitter.Node) -> str | None:
    """Return what a string or template without substitutions stands for, else None."""
    raw = node.text
    if raw is None or node.type not in {"string", "template_string"}:
        return None
    if any(child.type == "template_substitution" for child in node.children):
        return None
    return _ESCAPE.sub(_unescape, raw.decode("utf-8")[1:-1])


def _unescape(match: re.Match[str]) -> str:
    digits = match[1] or match[2] or match[3]
    if digits is None:
        return _CONTROL_ESCAPES.get(match[4], match[4])
    number = int(digits, 16)
    return chr(number) if number <= 0x10FFFF else "\ufffd"


def _position(data: bytes, node: tree_sitter.Node) -> tuple[int, int]:
    """Return line and column from 1; the parser counts bytes, people count characters."""
    row, byte_column = node.start_point
    start = node.start_byte - byte_column
    return row + 1, len(data[start : node.start_byte].decode("utf-8", "replace")) + 1
