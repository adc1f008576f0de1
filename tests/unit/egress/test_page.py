"""The page about egress says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from tenterhook.egress import MAX_ENTRIES, RANGES, Judgement, Mode, Opening, Reason, Rules, parse_grants

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "egress.md").read_text()
NEEDS = {
    Opening.PUBLIC: "nothing",
    Opening.GRANT: "a grant",
    Opening.EXACT: "a grant of that one address",
    Opening.INNER: "a public IPv4 address inside",
    Opening.NEVER: "nothing opens it",
}


def test_the_page_shows_the_table_of_ranges():
    shown = re.findall(r"^\| `([0-9a-f.:/]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    assert shown == [(str(row.network), row.name, row.source, NEEDS[row.opening]) for row in RANGES]


def test_the_page_shows_every_reason():
    shown = dict(re.findall(r"^\| `([a-z_]+)` \| (yes|no) \| .+ \|$", PAGE, re.MULTILINE))
    allowed = {Reason.PUBLIC, Reason.GRANTED, Reason.OWN_URL, Reason.NAME_OK}
    assert shown == {reason.value: "yes" if reason in allowed else "no" for reason in Reason}
    assert all(Judgement(allowed=True, reason=reason).explanation == "" for reason in allowed)


def test_the_page_shows_every_mode():
    assert [mode for mode in Mode if f"| `{mode}` |" not in PAGE] == []
    assert f"up to {MAX_ENTRIES} hosts" in PAGE


def test_the_entries_on_the_page_are_read():
    (grants,) = re.findall(r"^TENTERHOOK_EGRESS_ALLOW=(.+)$", PAGE, re.MULTILINE)
    assert len(parse_grants(grants)) == 5
    assert Rules.of("enforce", ["api.example.com"]) == Rules.of("enforce", ["api.example.com:443"])
