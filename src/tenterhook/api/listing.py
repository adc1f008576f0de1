"""What lists have in common: pages, totals, sorting, and showing only some properties."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Query

from tenterhook.api.search_query import InvalidQueryError

Page = Annotated[int, Query(ge=0, le=1_000_000, description="Which page, from 0.")]
PerPage = Annotated[int, Query(ge=0, le=100, description="Entries per page.")]
IncludeTotals = Annotated[
    bool, Query(description="Answer with an object that tells how many there are in all.")
]
Fields = Annotated[str | None, Query(max_length=1000, description="Properties to show, separated by commas.")]
IncludeFields = Annotated[bool, Query(description="False shows all properties but those in `fields`.")]


def narrowed(item: Mapping[str, Any], fields: str | None, *, include_fields: bool) -> dict[str, Any]:
    """Return the properties of an item that were asked for; a name that it has not is passed over."""
    if not fields:
        return dict(item)
    named = {name.strip() for name in fields.split(",")}
    return {name: value for name, value in item.items() if (name in named) == include_fields}


def with_totals(
    name: str, items: Sequence[Mapping[str, Any]], *, start: int, limit: int, total: int
) -> dict[str, Any]:
    """Return a page with its totals; the list is the object's only array (deploy-cli looks for that)."""
    return {"start": start, "limit": limit, "length": len(items), "total": total, name: list(items)}


def parse_sort(text: str, sortable: Collection[str]) -> tuple[str, bool]:
    """Return field and whether it descends, from ``field:1`` or ``field:-1``, or raise ``InvalidQueryError``."""
    name, _, direction = text.partition(":")
    if name not in sortable or direction not in {"1", "-1"}:
        known = ", ".join(sortable)
        raise InvalidQueryError(
            f"Query validation error: 'Expected field:1 or field:-1' on property sort (fields: {known})."
        )
    return name, direction == "-1"
