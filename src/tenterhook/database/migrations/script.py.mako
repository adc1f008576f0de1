"""${message}

Revision: ${up_revision} after ${down_revision | comma,n}. Additive (before the deploy) or removing (after it)? Say so
in the file's name: NNNN_additive_… or NNNN_removing_….
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
