"""What a run is made of: the script, and one invocation of it.

A ``Script`` is immutable and known by its ``key``: a process compiles it once and keeps it while there is room. Whoever
changes the source, the modules or the error classes must change the key. An ``Invocation`` is one attempt of one run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, or lists and string-keyed dictionaries of those."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Script:
    """A piece of JavaScript that exports one function."""

    key: str
    """Its identity, for example ``hook id:version``; the same key always means the same script."""
    source: str
    """CommonJS, as its author wrote it."""
    file_name: str = "hook.js"
    """How stack traces call it; their line numbers are the author's."""
    error_classes: tuple[str, ...] = ()
    """Names the extensibility point defines for it besides ``ExtensibilityUserError``."""
    require_map: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    """Exact specifier in the code (``lodash``, ``lodash@4.17.21``) → the package's folder; sub-paths resolve
    beneath it. Folders must lie under one of the pool's ``readable_dirs``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Webtask:
    """What the hook finds as ``context.webtask``, besides ``id``, ``attempt`` and ``storage``."""

    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    params: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    data: Mapping[str, Json] | None = dataclasses.field(default=None, repr=False)
    """None: made of query, params, secrets and body laid over each other, as the original did."""
    body: Json = None
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)
    query: Mapping[str, Json] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invocation:
    """One attempt of one run: what the exported function is called with."""

    run_id: str
    """Becomes ``context.webtask.id``."""
    attempt: int = 1
    """Becomes ``context.webtask.attempt``; counts from 1."""
    arguments: tuple[Json, ...]
    """Everything before ``cb``, in order."""
    context_index: int | None = None
    """Which argument is the context, which gets ``webtask``; None: the last."""
    webtask: Webtask = dataclasses.field(default_factory=Webtask)
