"""How old a Node is, as far as that can be said offline."""

from __future__ import annotations

import datetime as dt

import pytest

from tenterhook.sandbox.node_binary import find_node
from tenterhook.sandbox.node_releases import MOST_DAYS, ReleaseList, age_of, release_list

ASKED_ON = dt.date(2026, 9, 1)
LIST = ReleaseList(
    asked_on=ASKED_ON,
    published={
        "24.9.0": dt.date(2026, 5, 1),
        "24.10.0": dt.date(2026, 7, 1),
        "26.0.0": dt.date(2026, 8, 1),
    },
)


def test_a_listed_version_is_at_least_as_old_as_its_day():
    age = age_of("24.9.0", dt.date(2026, 7, 1), LIST)
    assert (age.published_by, age.days, age.newest_known) == (dt.date(2026, 5, 1), 61, "24.10.0")


def test_versions_are_compared_as_numbers():
    assert age_of("24.10.0", ASKED_ON, LIST).newest_known is None


def test_a_version_between_listed_ones_was_published_before_the_higher():
    assert age_of("24.9.1", ASKED_ON, LIST).published_by == dt.date(2026, 7, 1)


@pytest.mark.parametrize("version", ["24.11.0", "25.0.0", "26.0.1"])
def test_a_version_above_the_list_is_at_most_as_old_as_the_list(version):
    age = age_of(version, ASKED_ON + dt.timedelta(days=10), LIST)
    assert (age.published_by, age.days, age.newest_known) == (None, 10, None)


@pytest.mark.parametrize(("days", "too_old"), [(MOST_DAYS, False), (MOST_DAYS + 1, True)])
@pytest.mark.parametrize(("version", "since"), [("24.10.0", dt.date(2026, 7, 1)), ("24.11.0", ASKED_ON)])
def test_the_limit_has_two_sides(version, since, days, too_old):
    assert age_of(version, since + dt.timedelta(days=days), LIST).is_too_old is too_old


def test_a_clock_that_runs_behind_makes_no_negative_age():
    assert age_of("24.10.0", dt.date(2020, 1, 1), LIST).days == 0


def test_the_list_that_comes_along_knows_the_node_that_comes_along():
    known = release_list()
    assert find_node().version in known.published
    assert max(known.published.values()) <= known.asked_on


def test_no_listed_version_is_younger_than_a_higher_one_of_its_line():
    lines: dict[int, list[tuple[tuple[int, ...], dt.date]]] = {}
    for version, day in release_list().published.items():
        numbers = tuple(map(int, version.split(".")))
        lines.setdefault(numbers[0], []).append((numbers, day))
    for listed in lines.values():
        days = [day for _, day in sorted(listed)]
        assert days == sorted(days)
