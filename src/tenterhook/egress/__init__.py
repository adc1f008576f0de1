"""Egress: may this outgoing connection be made, and to which address. Pure: nothing here connects or resolves."""

from __future__ import annotations

from tenterhook.egress.addresses import Address, Network, canonical
from tenterhook.egress.entries import (
    DEFAULT_LIST_PORT,
    GRANTS_SETTING,
    Entry,
    InvalidEntryError,
    InvalidGrantError,
    parse_grants,
)
from tenterhook.egress.forbidden import Forbidden
from tenterhook.egress.judgement import LIST_SETTING, Destination, Judgement, Reason
from tenterhook.egress.learning import Proposal, Seen, propose
from tenterhook.egress.policy import Policy
from tenterhook.egress.ranges import RANGES, Opening, Range, opening_of, range_of
from tenterhook.egress.rules import MAX_ENTRIES, InvalidEgressRulesError, Mode, Rules

__all__ = [
    "DEFAULT_LIST_PORT",
    "GRANTS_SETTING",
    "LIST_SETTING",
    "MAX_ENTRIES",
    "RANGES",
    "Address",
    "Destination",
    "Entry",
    "Forbidden",
    "InvalidEgressRulesError",
    "InvalidEntryError",
    "InvalidGrantError",
    "Judgement",
    "Mode",
    "Network",
    "Opening",
    "Policy",
    "Proposal",
    "Range",
    "Reason",
    "Rules",
    "Seen",
    "canonical",
    "opening_of",
    "parse_grants",
    "propose",
    "range_of",
]
