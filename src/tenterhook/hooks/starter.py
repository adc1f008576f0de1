"""Starter code: what a new hook begins with, the same text in the API, the command line and the dashboard.

Its comment lists every parameter with type and meaning, from the catalogue that also builds the event.
"""

from __future__ import annotations

from tenterhook.hooks.extensibility_point import ExtensibilityPoint


def starter_code(point: ExtensibilityPoint) -> str:
    """Return a complete hook for the point that does nothing yet, with a final line break."""
    lines = [
        f"@param {{{parameter.type}}} {parameter.path} - {parameter.meaning}"
        for parameter in point.parameters
    ]
    lines.append(f"@param {{function}} cb - function ({point.callback_arguments}); must be called once")
    comment = "\n".join(lines)
    arguments = ", ".join((*point.arguments, "cb"))
    return f"/**\n{comment}\n*/\nmodule.exports = function ({arguments}) {{\n{point.starter_body}\n}};\n"
