"""``docs/reference/extensibility-points.md``: the catalogue as a page, from the values that also build the events."""

from __future__ import annotations

from tenterhook.hooks import POINTS, ExtensibilityPoint, Presence, starter_code

_INTRODUCTION = """\
# Extensibility points

*Written by `make docs` from the catalogue (`src/tenterhook/hooks/catalogue.py`).*

A hook is a CommonJS module that exports one function. It is called with the arguments below and with `cb`, which it
must call once: `cb()`, `cb(null, answer)` or `cb(error)`.

**Absent and null.** Every parameter below is in every event, and is null where there is no value, unless the
column *presence* says otherwise: *permitted* ones are absent unless the operator permits them
(`TENTERHOOK_UNSAFE_PLAIN_PASSWORD_TO_PRE_USER_REGISTRATION`). *added* ones are not part of the event: the sandbox
adds them where the hook runs. Nothing that is not listed here is ever in an event.

`context.webtask` has `id` (of the run, the same on every attempt), `attempt` (from 1), `secrets`, `storage`, `body`
(the event), `data` (secrets and event laid over each other), and `params`, `query`, `headers` and `meta`, which are
empty. There is no `token`, `create_token` or `create_token_url`.
"""


def render() -> str:
    """Return the page."""
    return "\n".join([_INTRODUCTION, _overview(), *(_section(point) for point in POINTS)])


def _overview() -> str:
    rows = [
        "| trigger id | when | the caller waits | called by this version |",
        "| --- | --- | --- | --- |",
        *(
            f"| [`{point.trigger_id}`](#{_anchor(point)}) | {point.when} | {_yes(point.blocking)} | "
            f"{'yes' if point.fires else 'in the Runner only'} |"
            for point in POINTS
        ),
    ]
    return "\n".join([*rows, ""])


def _section(point: ExtensibilityPoint) -> str:
    rows = [
        f"| `{parameter.path}` | {parameter.type} | {parameter.meaning} | "
        f"{'' if parameter.presence is Presence.ALWAYS else parameter.presence.value} |"
        for parameter in point.parameters
    ]
    classes = ", ".join(f"`{name}`" for name in ("ExtensibilityUserError", *point.error_classes))
    return "\n".join(
        [
            f"## {point.name}",
            "",
            f"`{point.trigger_id}`. {point.when}",
            "",
            f"- **Answer:** {point.answer}",
            f"- **Error:** {point.refusal}",
            f"- **Classes defined for it:** {classes}",
            "",
            "| parameter | type | meaning | presence |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "Starter code:",
            "",
            f"```js\n{starter_code(point)}```",
            "",
            "The Runner's default body:",
            "",
            f"```json\n{point.runner_body}\n```",
            "",
        ]
    )


def _anchor(point: ExtensibilityPoint) -> str:
    return point.name.lower().replace(" ", "-")


def _yes(value: object) -> str:
    return "yes" if value else "no"
