"""The names of the queue engine's objects, fixed here.

The engine would otherwise read them from the environment, some from names as plain as ``TRIGGER`` or ``CHANNEL``: a
stray variable would make one process use another queue. Both the migration that makes the tables and the package that
uses them (``runs``) take the names from here.
"""

from __future__ import annotations

from pgqueuer.domain.settings import DBSettings, Durability
from pgqueuer.domain.types import Channel

QUEUE_NAMES = DBSettings(
    prefix="",
    db_schema=None,
    channel=Channel("tenterhook_queue"),
    function="fn_pgqueuer_changed",
    statistics_table="pgqueuer_statistics",
    queue_status_type="pgqueuer_status",
    queue_table="pgqueuer",
    queue_table_log="pgqueuer_log",
    trigger="tg_pgqueuer_changed",
    schedules_table="pgqueuer_schedules",
    durability=Durability.durable,
)
