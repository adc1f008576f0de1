"""Which version a bare require gets, and which lock files are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tenterhook.sandbox.modules import BrokenModuleError, MissingVersionError, YoungModuleError
from tenterhook.sandbox.modules.names import version_order
from tenterhook.sandbox.modules.resolution import Description, check_lock, choose_inferred

LIMIT = datetime(2026, 11, 16, tzinfo=UTC)


def choose(days_older_than_limit: dict[str, float], latest: str = "", *, with_times: bool = True):
    versions = sorted(days_older_than_limit, key=version_order)
    published = {version: LIMIT - timedelta(days=days) for version, days in days_older_than_limit.items()}
    description = Description(
        name="mod",
        versions=tuple(versions),
        tags={"latest": latest or versions[-1]},
        published=published if with_times else {},
    )
    return choose_inferred(description, oldest_allowed=LIMIT, minimum_age_days=7)


def test_latest_is_taken_when_it_is_exactly_old_enough():
    assert choose({"1.0.0": 100, "1.1.0": 0}) == ("1.1.0", None)


def test_younger_latest_is_passed_over_with_a_note():
    version, note = choose({"1.0.0": 100, "1.1.0": -0.001})
    assert version == "1.0.0"
    assert "1.1.0 is younger than 7 days, so 1.0.0 was taken" in note


def test_newest_is_by_version_not_by_publication():
    assert choose({"0.1.7": 1, "2.0.7": 100})[0] == "2.0.7"


def test_releases_beyond_latest_are_not_taken():
    assert choose({"1.0.0": 9, "1.1.0": 9, "2.0.0": 9}, latest="1.1.0") == ("1.1.0", None)
    assert choose({"1.0.0": 9, "1.1.0": -1, "2.0.0": 9}, latest="1.1.0")[0] == "1.0.0"


def test_releases_beyond_latest_are_taken_when_nothing_else_is_old_enough():
    assert choose({"1.1.0": -1, "2.0.0": 9}, latest="1.1.0")[0] == "2.0.0"


def test_prereleases_are_never_taken():
    assert choose({"1.0.0": 100, "2.0.0-rc.1": 50}, latest="2.0.0-rc.1") == ("1.0.0", None)
    with pytest.raises(MissingVersionError, match="only pre-releases"):
        choose({"2.0.0-rc.1": 50})


def test_all_too_young_is_refused_and_says_what_to_write():
    with pytest.raises(YoungModuleError, match=r"require\('mod@1\.1\.0'\)"):
        choose({"1.0.0": -1, "1.1.0": -2})


def test_registry_without_times_gives_the_newest_and_says_so():
    version, note = choose({"1.0.0": 1, "1.1.0": 1}, with_times=False)
    assert version == "1.1.0"
    assert "age was not checked" in note


def lock_with(**entry) -> str:
    return json.dumps({"packages": {"": {"name": "modules"}, "node_modules/x": entry}})


def test_lock_with_hashes_is_accepted():
    check_lock(lock_with(version="1.0.0", integrity="sha512-x"))
    check_lock(lock_with(version="1.0.0", inBundle=True))


@pytest.mark.parametrize(
    "entry",
    [
        {"version": "1.0.0"},
        {"link": True, "integrity": "sha512-x"},
        {"version": "1.0.0", "resolved": "git+ssh://git@127.0.0.1/x.git#0", "integrity": "sha512-x"},
    ],
)
def test_lock_with_something_unverifiable_is_refused(entry):
    with pytest.raises(BrokenModuleError, match="x cannot be verified"):
        check_lock(lock_with(**entry))
