"""What an extensibility point is: when it fires, what its hooks are called with, and what they may answer.

One value per point, in ``catalogue``. Everything that speaks of a point is made from that value, so that no two
texts can differ: the event (``events``), the starter code (``starter``), the check of a Runner's body (``bodies``)
and ``docs/reference/extensibility-points.md``.

An *event* is the JSON object that a hook's function gets its arguments from: the argument ``user`` is the event's
member ``user``. A *path* names one value in it, as an author writes it: ``user.email``.
"""

from __future__ import annotations

import dataclasses
import enum
from functools import cached_property
from typing import NewType

TriggerId = NewType("TriggerId", str)
"""A point's id in the API, such as ``post-user-registration``."""


class Presence(enum.Enum):
    """Whether an event has a parameter."""

    ALWAYS = "always"
    """In every event; null where there is no value."""
    PERMITTED = "permitted"
    """Only where the operator permits it; else the key is absent."""
    ADDED = "added"
    """Not part of the event: added where the hook runs."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One value that a hook can read."""

    path: str
    """As the author writes it: ``context.connection.id``."""
    type: str
    """JavaScript's word: ``string``, ``boolean``, ``object``, ``array``."""
    meaning: str
    """Half a sentence for the starter code's comment."""
    presence: Presence = Presence.ALWAYS


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What a Runner's body must have for the original's wrapper to accept it (SPEC 2.5, 9.4)."""

    path: str
    type: str
    """``object``, ``string`` or ``array``; as in the original, an array passes for an object."""
    choices: tuple[str, ...] = ()
    """The only strings that are accepted; empty: any."""
    optional: bool = False
    """It may be absent or null, and so may what lies beneath it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtensibilityPoint:
    """One place in Tenterhook where a tenant's code is called."""

    trigger_id: TriggerId
    name: str
    """Its name in Auth0's dashboard."""
    when: str
    """One sentence: when its hook is called."""
    blocking: bool
    """Whether the caller waits for the hook and acts upon its answer."""
    fires: bool
    """Whether this version of Tenterhook calls it by itself; if not, only the Runner does."""
    arguments: tuple[str, ...]
    """The names of the function's arguments before ``cb``; the last is the context, which gets ``webtask``."""
    parameters: tuple[Parameter, ...]
    """Everything a hook can read, parents before their members."""
    answer: str
    """One or two sentences: what the second argument of ``cb`` does."""
    refusal: str
    """One sentence: what an error does."""
    error_classes: tuple[str, ...]
    """Classes that the hook's code finds defined, besides ``ExtensibilityUserError``."""
    callback_arguments: str
    """The arguments of ``cb`` as the starter code's comment names them."""
    starter_body: str
    """The body of the starter code's function, indented by two spaces."""
    requirements: tuple[Requirement, ...]
    """What a Runner's body must have."""
    runner_body: str
    """The Runner's default body, as JSON text."""

    @cached_property
    def event_paths(self) -> tuple[str, ...]:
        """Return the path of every value in the event, parents left out, in the order of the comment."""
        parents = {parameter.path.rpartition(".")[0] for parameter in self.parameters if _in_event(parameter)}
        return tuple(
            parameter.path
            for parameter in self.parameters
            if _in_event(parameter) and parameter.path not in parents
        )

    @cached_property
    def permitted_paths(self) -> frozenset[str]:
        """Return the paths of those values that the operator must permit."""
        return frozenset(
            parameter.path for parameter in self.parameters if parameter.presence is Presence.PERMITTED
        )


def _in_event(parameter: Parameter) -> bool:
    return parameter.presence is not Presence.ADDED
