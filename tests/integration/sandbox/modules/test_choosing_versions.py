"""Which versions a hook gets, asked of a real npm and a registry whose publication times the test decides."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from tenterhook.sandbox.modules import (
    MissingModuleError,
    MissingVersionError,
    ModuleSet,
    Origin,
    UnusableRequireError,
    YoungModuleError,
)

from .conftest import NOW

SIX_DAYS_AGO = NOW - timedelta(days=6, hours=23)
SEVEN_DAYS_AGO = NOW - timedelta(days=7)


async def versions(store, source="", declared=None, **options) -> dict[str, str]:
    resolution = await store.resolve(source, declared or {}, **options)
    return {module.specifier: module.version for module in resolution.modules}


@pytest.mark.parametrize(("published", "expected"), [(SIX_DAYS_AGO, "0.1.7"), (SEVEN_DAYS_AGO, "2.0.7")])
async def test_bare_require_takes_the_newest_version_of_seven_days(store, npm_registry, published, expected):
    npm_registry.set_published("slack-notify", "2.0.7", published)
    assert await versions(store, "require('slack-notify')") == {"slack-notify": expected}


async def test_passing_over_a_young_version_is_noted(store, npm_registry):
    npm_registry.set_published("slack-notify", "2.0.7", SIX_DAYS_AGO)
    (note,) = (await store.resolve("require('slack-notify')", {})).notes
    assert "slack-notify 2.0.7 is younger than 7 days, so 0.1.7 was taken" in note


async def test_module_with_young_versions_only_must_be_named(store, npm_registry):
    npm_registry.set_published("ipaddr.js", "1.9.0", SIX_DAYS_AGO)
    with pytest.raises(YoungModuleError, match=r"require\('ipaddr\.js@1\.9\.0'\)"):
        await store.resolve("require('ipaddr.js')", {})
    assert await versions(store, "require('ipaddr.js@1.9.0')") == {"ipaddr.js@1.9.0": "1.9.0"}
    assert await versions(store, "require('ipaddr.js')", {"ipaddr.js": "latest"}) == {"ipaddr.js": "1.9.0"}


async def test_minimum_age_can_be_zero(make_store, npm_registry):
    npm_registry.set_published("ipaddr.js", "1.9.0", NOW)
    assert await versions(make_store(minimum_age_days=0), "require('ipaddr.js')") == {"ipaddr.js": "1.9.0"}


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("0.1.7", "0.1.7"), ("v0.1.7", "0.1.7"), ("^0.1.0", "0.1.7"), ("<2", "0.1.7"), ("0.x || 1.x", "0.1.7"),
        ("latest", "2.0.7"), ("*", "2.0.7"), ("", "2.0.7"), ("^2.0.0", "2.0.7"), ("old", "0.1.7"),
    ],
)  # fmt: skip
async def test_declared_versions_ranges_and_tags(store, npm_registry, requested, expected):
    npm_registry.set_tag("slack-notify", "old", "0.1.7")
    resolution = await store.resolve("require('slack-notify')", {"slack-notify": requested})
    (module,) = resolution.modules
    assert (module.version, module.origin) == (expected, Origin.DECLARED)


async def test_range_prefers_latest_as_npm_does(store, npm_registry):
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        npm_registry.publish("ranged", version)
    npm_registry.set_tag("ranged", "latest", "1.1.0")
    assert await versions(store, declared={"ranged": "^1.0.0"}) == {"ranged": "1.1.0"}


async def test_missing_module_is_named(store):
    with pytest.raises(MissingModuleError, match="no module 'no-such-module'") as caught:
        await store.resolve("require('no-such-module'); require('lodash')", {})
    assert caught.value.details["module"] == "no-such-module"


@pytest.mark.parametrize("requested", ["9.9.9", "^9", "nonsense"])
async def test_missing_version_is_named_with_versions_that_exist(store, requested):
    with pytest.raises(
        MissingVersionError, match=r"slack-notify has no version .* newest are 2\.0\.7, 0\.1\.7"
    ) as caught:
        await store.resolve("", {"slack-notify": requested})
    assert caught.value.details["newest"] == ["2.0.7", "0.1.7"]


async def test_missing_version_in_require(store):
    with pytest.raises(MissingVersionError, match=r"slack-notify has no version 2\.0\.8"):
        await store.resolve("require('slack-notify@2.0.8')", {})


async def test_path_is_refused(store, npm_registry):
    with pytest.raises(UnusableRequireError, match="Line 1, column 9"):
        await store.resolve("require('./helper')", {})
    assert npm_registry.requests == []


async def test_module_that_a_module_needs_is_missing(store, npm_registry):
    npm_registry.publish("needy", "1.0.0", dependencies={"no-such-module": "1.0.0"})
    with pytest.raises(MissingModuleError, match=r"While choosing what needy 1\.0\.0 depend on"):
        await store.resolve("require('needy')", {})


async def test_dependencies_of_old_modules_are_old_too(store, npm_registry):
    npm_registry.publish("outer", "1.0.0", dependencies={"inner": "^1.0.0"})
    npm_registry.publish("inner", "1.0.0")
    npm_registry.publish("inner", "1.0.1", published=SIX_DAYS_AGO)
    resolution = await store.resolve("require('outer')", {})
    assert json.loads(resolution.lock)["packages"]["node_modules/inner"]["version"] == "1.0.0"
    assert resolution.notes == ()


async def test_young_dependency_is_taken_when_nothing_else_fits_and_noted(store, npm_registry):
    npm_registry.publish("outer", "1.0.0", dependencies={"inner": "^1.0.0"})
    npm_registry.publish("inner", "1.0.1", published=SIX_DAYS_AGO)
    resolution = await store.resolve("require('outer')", {})
    assert json.loads(resolution.lock)["packages"]["node_modules/inner"]["version"] == "1.0.1"
    assert "younger one was taken" in resolution.notes[0]


async def test_registry_without_times_is_used_and_noted(store, npm_registry):
    npm_registry.with_times = False
    resolution = await store.resolve("require('slack-notify')", {})
    assert resolution.modules[0].version == "2.0.7"
    assert "age was not checked" in resolution.notes[0]


async def test_saving_again_asks_nobody_and_changes_nothing(make_store, npm_registry):
    source, declared = "require('slack-notify')", {"lodash": "latest"}
    first = await make_store().resolve(source, declared)
    npm_registry.requests.clear()
    kept = ModuleSet(modules=first.modules, lock=first.lock)
    again = await make_store().resolve(source + " // mended", declared, previous=kept)
    assert (again.modules, again.lock) == (first.modules, first.lock)
    assert npm_registry.requests == []


async def test_adding_a_module_leaves_the_others_where_they_are_until_refreshed(make_store, npm_registry):
    npm_registry.publish("outer", "1.0.0", dependencies={"inner": "^1.0.0"})
    npm_registry.publish("inner", "1.0.0")
    first = await make_store().resolve("require('outer')", {})
    kept = ModuleSet(modules=first.modules, lock=first.lock)
    npm_registry.publish("outer", "1.1.0", dependencies={"inner": "^1.0.0"})
    npm_registry.publish("inner", "1.0.1")
    source = "require('outer'); require('ipaddr.js')"
    found = await make_store().resolve(source, {}, previous=kept)
    assert {module.name: module.version for module in found.modules} == {
        "outer": "1.0.0",
        "ipaddr.js": "1.9.0",
    }
    assert json.loads(found.lock)["packages"]["node_modules/inner"]["version"] == "1.0.0"
    refreshed = await versions(make_store(), source, previous=kept, refresh=True)
    assert refreshed == {"outer": "1.1.0", "ipaddr.js": "1.9.0"}


async def test_same_requests_are_answered_from_memory_for_a_while(store, npm_registry, clock):
    first = await store.resolve("require('slack-notify')", {})
    npm_registry.requests.clear()
    assert await store.resolve("  require('slack-notify')", {}) == first
    assert npm_registry.requests == []
    clock.seconds += 301
    assert await store.resolve("require('slack-notify')", {}) == first
    assert npm_registry.requests != []


async def test_registry_of_npms_configuration_is_used(make_store, npm_registry, tmp_path):
    (tmp_path / "home" / ".npmrc").write_text(f"registry={npm_registry.url}\nmin-release-age=1\n")
    assert await versions(make_store(registry=None), "require('slack-notify')") == {"slack-notify": "2.0.7"}
    assert npm_registry.requests != []


async def test_registry_of_npms_variables_is_used(make_store, npm_registry, monkeypatch):
    for name, value in npm_registry.environment.items():
        monkeypatch.setenv(name, value)
    assert await versions(make_store(registry=None), "require('slack-notify')") == {"slack-notify": "2.0.7"}
    assert npm_registry.requests != []
