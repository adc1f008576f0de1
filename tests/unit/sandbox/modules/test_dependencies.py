"""Declaration and script put together."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.modules import (
    MAX_MODULES,
    InvalidDependencyError,
    ModuleSet,
    Origin,
    ResolvedModule,
    UnusableRequireError,
    check_dependencies,
    required_modules,
)
from tenterhook.sandbox.modules.dependencies import asks_the_same, wanted_modules


def wanted(source, declared=None):
    return wanted_modules(required_modules(source), declared or {})


def test_declaration_decides_bare_require_and_stands_beside_a_versioned_one():
    found = wanted(
        "require('a'), require('a@1.0.0'), require('b'), require('b/x'), require('a')",
        {"a": "^2.0.0", "c": "latest", "d": ""},
    )
    assert [(one.specifier, one.name, one.origin, one.requested) for one in found] == [
        ("a", "a", Origin.DECLARED, "^2.0.0"),
        ("a@1.0.0", "a", Origin.VERSIONED, "1.0.0"),
        ("b", "b", Origin.INFERRED, ""),
        ("c", "c", Origin.DECLARED, "latest"),
        ("d", "d", Origin.DECLARED, "*"),
    ]


@pytest.mark.parametrize(
    ("declared", "part"),
    [
        ({"../x": "1.0.0"}, "dependencies: '../x'"),
        ({"lodash": "git+ssh://x"}, "dependencies.lodash"),
        ({"": "1"}, "''"),
    ],
)
def test_bad_declaration_names_the_property(declared, part):
    with pytest.raises(InvalidDependencyError) as caught:
        check_dependencies(declared)
    assert part in caught.value.message
    assert caught.value.details["property"] == next(iter(declared))


def test_path_is_refused_with_its_place():
    with pytest.raises(UnusableRequireError) as caught:
        wanted("\n  require('./x')")
    assert "Line 2, column 11" in caught.value.message


def test_number_of_modules_is_limited():
    within = {f"m{number}": "1.0.0" for number in range(MAX_MODULES)}
    assert len(wanted("", within)) == MAX_MODULES
    with pytest.raises(UnusableRequireError):
        wanted("require('one-more')", within)


def test_same_requests_are_recognised_and_others_are_not():
    earlier = ModuleSet(
        modules=(
            ResolvedModule(specifier="a", name="a", version="2.1.0", origin=Origin.DECLARED, requested="^2"),
            ResolvedModule(specifier="b", name="b", version="1.0.0", origin=Origin.INFERRED),
        ),
        lock="{}",
    )
    assert asks_the_same(wanted("require('b')", {"a": "^2"}), earlier)
    assert not asks_the_same(wanted("require('b')", {"a": "^3"}), earlier)
    assert not asks_the_same(wanted("", {"a": "^2"}), earlier)
    assert not asks_the_same(wanted("", {"a": "^2", "b": "*"}), earlier)
