"""The one ``MetaData`` in which every owner declares its tables, and the column types they share."""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import DateTime, MetaData
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

MOMENT = DateTime(timezone=True)
"""A moment in UTC."""

JSON = JSONB(none_as_null=True)
"""A JSON document; Python's None is SQL's NULL."""

_NUL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def jsonb_text(value: Any) -> str:
    """Write a JSON value as text that PostgreSQL's ``jsonb`` takes, whatever it came from.

    ``jsonb`` has no U+0000 and no lone surrogates (documentation, 8.14); both may come out of a hook. They become
    U+FFFD and ``?``: a record with a marked hole is better than none. Other iterables than lists become lists.
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=list)
    text = text.encode("utf-8", "replace").decode()
    return _NUL_ESCAPE.sub("\\1\ufffd", text) if "\\u0000" in text else text
