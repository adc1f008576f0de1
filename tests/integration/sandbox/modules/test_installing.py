"""Real modules from the loopback registry, loaded by real Node."""

from __future__ import annotations

import json
import stat

import pytest

from tenterhook.sandbox.modules import ModuleSet, Origin, Stage, npm
from tenterhook.sandbox.modules.node_builtins import NODE_BUILTINS

from .conftest import load, run_node

SLACK_HOOK = (
    "module.exports = function (user, context, cb) { require('slack-notify')('https://127.0.0.1/'); cb(); };"
)


async def test_list_of_builtins_is_nodes_own():
    status, output = await run_node("-p", "JSON.stringify(require('module').builtinModules)")
    assert status == 0
    assert {name for name in json.loads(output) if not name.startswith("node:")} == NODE_BUILTINS


async def test_bare_require_without_declaration_installs_and_loads(store):
    resolution = await store.resolve(SLACK_HOOK, {})
    module_set = await store.install(resolution)
    installed = await store.ensure(module_set)
    (module,) = module_set.modules
    assert (module.specifier, module.version, module.origin) == ("slack-notify", "2.0.7", Origin.INFERRED)
    assert await load(installed, "slack-notify") == (0, "function")
    # By its path Node takes "main", which in this module is an ES module: the sandbox must go by the name.
    by_path = f"console.log(typeof require({str(installed.require_map['slack-notify'])!r}).default)"
    assert await run_node("-e", by_path) == (0, "function")


async def test_old_slack_notify_brings_its_many_dependencies(store):
    module_set = await store.install(await store.resolve("", {"slack-notify": "0.1.7"}))
    assert len(json.loads(module_set.lock)["packages"]) > 40
    assert await load(await store.ensure(module_set), "slack-notify") == (0, "function")


async def test_two_versions_of_one_module_lie_side_by_side(store):
    source = "require('slack-notify'); require('slack-notify@0.1.7'); require('slack-notify@2.0.7')"
    installed = await store.ensure(await store.install(await store.resolve(source, {})))
    assert set(installed.require_map) == {"slack-notify", "slack-notify@0.1.7", "slack-notify@2.0.7"}
    versions = {
        specifier: json.loads((path / "package.json").read_text())["version"]
        for specifier, path in installed.require_map.items()
    }
    assert versions == {"slack-notify": "2.0.7", "slack-notify@0.1.7": "0.1.7", "slack-notify@2.0.7": "2.0.7"}
    for specifier in versions:
        assert await load(installed, specifier) == (0, "function")


async def test_paths_inside_modules_scopes_and_exports_load(store):
    source = "require('lodash/fp'); require('uuid'); require('@mapbox/node-pre-gyp@1.0.11/package.json')"
    installed = await store.ensure(await store.install(await store.resolve(source, {})))
    assert await load(installed, "lodash", "/fp", "typeof m.flow") == (0, "function")
    assert await load(installed, "uuid", "", "typeof m.v4") == (0, "function")
    assert await load(installed, "@mapbox/node-pre-gyp@1.0.11", "/package.json", "m.version") == (0, "1.0.11")


async def test_module_that_needs_a_compiler_installs_and_cannot_be_loaded(store):
    installed = await store.ensure(await store.install(await store.resolve("", {"bcrypt": "5.1.1"})))
    status, output = await load(installed, "bcrypt")
    assert status != 0
    assert "Cannot find module" in output
    assert "bcrypt_lib.node" in output


async def test_nothing_in_the_set_can_be_written(store):
    installed = await store.ensure(await store.install(await store.resolve(SLACK_HOOK, {})))
    modes = {
        stat.S_IMODE(path.lstat().st_mode) for path in [installed.directory, *installed.directory.rglob("*")]
    }
    assert modes == {0o555, 0o444}


async def test_lock_file_has_hashes_and_no_address(store, npm_registry):
    resolution = await store.resolve("", {"slack-notify": "0.1.7"})
    assert "resolved" not in resolution.lock
    assert npm_registry.url not in resolution.lock
    packages = json.loads(resolution.lock)["packages"]
    assert all(entry["integrity"].startswith("sha512-") for path, entry in packages.items() if path)


async def test_hook_without_modules_needs_no_registry(store, npm_registry):
    resolution = await store.resolve("module.exports = (user, context, cb) => { require('https'); cb() }", {})
    module_set = await store.install(resolution)
    installed = await store.ensure(module_set)
    assert module_set == ModuleSet()
    assert list((installed.directory).glob("node_modules")) == []
    assert npm_registry.requests == []


async def test_script_that_does_not_compile_asks_for_nothing(store, npm_registry):
    for source in ("require('lodash'", "require('./x'); }", "enum = 1; require('no-such-module')"):
        assert (await store.resolve(source, {})).modules == ()
    assert npm_registry.requests == []


async def test_script_that_only_node_understands_gets_its_modules(store):
    resolution = await store.resolve("yield = 1; require('lodash')", {})
    assert [module.name for module in resolution.modules] == ["lodash"]


async def test_worker_without_the_set_installs_it_from_the_database(make_store, tmp_path):
    module_set = await make_store().install(await make_store().resolve(SLACK_HOOK, {}))
    from_database = ModuleSet.from_json(json.loads(json.dumps(module_set.to_json())))
    installed = await make_store(folder=tmp_path / "elsewhere").ensure(from_database)
    assert installed.directory.is_relative_to(tmp_path / "elsewhere")
    assert installed.key == module_set.key
    assert await load(installed, "slack-notify") == (0, "function")


async def test_set_in_the_store_is_used_without_the_registry(make_store, npm_registry):
    module_set = await make_store().install(await make_store().resolve(SLACK_HOOK, {}))
    npm_registry.requests.clear()
    stages = []
    await make_store().ensure(module_set, progress=lambda progress: stages.append(progress.stage))
    assert stages == [Stage.DONE]
    assert npm_registry.requests == []


async def test_cached_archives_make_a_set_without_the_registry(make_store, npm_registry, tmp_path):
    store = make_store()
    module_set = await store.install(await store.resolve("", {"slack-notify": "0.1.7"}))
    await store.ensure(module_set)
    (tmp_path / "modules" / "store").rename(tmp_path / "gone")
    npm_registry.requests.clear()
    assert await load(await store.ensure(module_set), "slack-notify") == (0, "function")
    assert npm_registry.requests == []


async def test_damaged_set_is_installed_again(make_store):
    module_set = await make_store().install(await make_store().resolve(SLACK_HOOK, {}))
    installed = await make_store().ensure(module_set)
    damaged = installed.require_map["slack-notify"] / "package.json"
    damaged.chmod(0o644)
    damaged.write_text("")
    again = await make_store().ensure(module_set)
    assert again == installed
    assert await load(again, "slack-notify") == (0, "function")


async def test_progress_tells_stages_and_counts(store):
    seen = []
    resolution = await store.resolve("", {"slack-notify": "0.1.7"}, progress=seen.append)
    await store.install(resolution, progress=seen.append)
    stages = list(dict.fromkeys(progress.stage for progress in seen))
    assert stages == [Stage.RESOLVING, Stage.FETCHING, Stage.SEALING, Stage.DONE]
    counts = [progress for progress in seen if progress.stage is Stage.FETCHING]
    assert counts[0].done == 0
    assert counts[-1].done == counts[-1].total > 40


@pytest.mark.parametrize("scripts_are_off", [True, False])
async def test_scripts_of_packages_do_not_run(
    make_store, npm_registry, tmp_path, scripts_are_off, monkeypatch
):
    """With the protection off, the same package does run: so the test would notice."""
    witness = tmp_path / "witness"
    npm_registry.publish("eager", "1.0.0", scripts={"postinstall": f"touch {witness}"})
    if not scripts_are_off:
        options = tuple(option for option in npm._ALWAYS if option != "--ignore-scripts")
        monkeypatch.setattr(npm, "_ALWAYS", (*options, "--dangerously-allow-all-scripts"))
    store = make_store()
    await store.install(await store.resolve("", {"eager": "1.0.0"}))
    assert witness.exists() is not scripts_are_off
