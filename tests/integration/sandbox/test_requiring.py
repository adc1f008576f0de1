"""``require`` in a hook: built-ins, declared packages in several versions, sub-paths, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenterhook.sandbox import ErrorCode, Invocation, Outcome, SandboxPool, Script

HEAD = "module.exports = function (user, context, cb) {"


def make_package(folder: Path, **manifest: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": folder.name, "main": "index.js", **manifest}))
    (folder / "index.js").write_text(
        f"module.exports = {{version: {json.dumps(manifest.get('version'))}, state: []}}"
    )
    (folder / "sub.js").write_text("module.exports = 'sub of ' + require('./index.js').version")
    return folder


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A module store as the store lays it out; tmp_path itself is closed to other users."""
    root = tmp_path / "modules"
    for name, version in (("one", "1.0.0"), ("one@2.0.0", "2.0.0"), ("two", "1.0.0")):
        make_package(root / "set-a" / "node_modules" / name, version=version)
    make_package(root / "set-b" / "node_modules" / "one", version="9.0.0")
    make_package(
        root / "set-b" / "node_modules" / "@scope" / "pkg",
        version="3.0.0",
        exports={".": "./index.js", "./public": "./sub.js"},
    )
    (root / "set-b" / "node_modules" / "broken").mkdir()
    (root / "set-b" / "node_modules" / "broken" / "package.json").write_text('{"main": "no.js"}')
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert tmp_path.stat().st_mode & 0o077 == 0
    return root


async def run(modules: Path, requires: str, names: dict[str, str], **more: object):
    async with SandboxPool(readable_dirs=(modules,), drain_seconds=0) as pool:
        script = Script(
            key="k",
            source=more.pop("source", None) or f"{HEAD} cb(null, {requires}) }}",
            require_map={name: modules / folder for name, folder in names.items()},
        )
        return await pool.run("t", script, Invocation(run_id="r", arguments=({}, {})))


@pytest.mark.parametrize(
    ("requires", "result"),
    [
        ("require('one').version", "1.0.0"),
        ("require('one@2.0.0').version", "2.0.0"),
        ("require('one/sub')", "sub of 1.0.0"),
        ("require('one/sub.js')", "sub of 1.0.0"),
        ("require('one@2.0.0/sub')", "sub of 2.0.0"),
        ("require('fs') === require('node:fs') && typeof require('https').get", "function"),
        ("require('one') === require('one')", True),
        ("require.resolve('one').endsWith('/node_modules/one/index.js')", True),
    ],
)
async def test_declared_and_built_in_modules_resolve(modules: Path, requires: str, result: object) -> None:
    names = {"one": "set-a/node_modules/one", "one@2.0.0": "set-a/node_modules/one@2.0.0"}
    execution = await run(modules, requires, names)
    assert execution.error is None
    assert execution.verdict.result == result


async def test_built_in_modules_can_be_imported(modules: Path) -> None:
    source = (
        "module.exports = async (user, context, cb) => cb(null, typeof (await import('node:fs')).readFile)"
    )
    execution = await run(modules, "", {}, source=source)
    assert execution.error is None
    assert execution.verdict.result == "function"


async def test_packages_own_exports_decide_about_sub_paths(modules: Path) -> None:
    names = {"@scope/pkg@3.0.0": "set-b/node_modules/@scope/pkg"}
    execution = await run(modules, "require('@scope/pkg@3.0.0/public')", names)
    assert execution.verdict.result == "sub of 3.0.0"
    execution = await run(modules, "require('@scope/pkg@3.0.0/sub.js')", names)
    assert execution.error.code == "ERR_PACKAGE_PATH_NOT_EXPORTED"


async def test_two_scripts_in_one_process_have_their_own_sets(modules: Path) -> None:
    async with SandboxPool(readable_dirs=(modules,), drain_seconds=0) as pool:
        results = []
        for folder in ("set-a", "set-b"):
            source = f"{HEAD} const one = require('one'); one.state.push('{folder}'); cb(null, [(globalThis.which ??= crypto.randomUUID()), one.version, one.state]) }}"
            script = Script(
                key=folder, source=source, require_map={"one": modules / folder / "node_modules/one"}
            )
            execution = await pool.run("t", script, Invocation(run_id="r", arguments=({}, {})))
            results.append(execution.verdict.result)
    assert results[0][0] == results[1][0]
    assert [each[1:] for each in results] == [["1.0.0", ["set-a"]], ["9.0.0", ["set-b"]]]


@pytest.mark.parametrize("at_load", [True, False])
async def test_undeclared_module_is_named_with_the_remedy(modules: Path, at_load: bool) -> None:
    require = "require('two/x')"
    source = f"{require}; {HEAD} cb() }}" if at_load else f"{HEAD} {require} }}"
    execution = await run(modules, "", {"one": "set-a/node_modules/one"}, source=source)
    assert execution.outcome is (Outcome.COULD_NOT_START if at_load else Outcome.ERROR)
    assert execution.error.code == ErrorCode.MODULE_NOT_FOUND
    assert execution.error.message.startswith("Cannot find module 'two/x': the hook does not declare it.")
    assert "require('two@1.2.3')" in execution.error.message


@pytest.mark.parametrize("specifier", ["./helper", "/etc/passwd", "../x"])
async def test_files_cannot_be_required(modules: Path, specifier: str) -> None:
    execution = await run(modules, f"require('{specifier}')", {})
    assert execution.error.code == ErrorCode.MODULE_NOT_FOUND
    assert "a hook is one file" in execution.error.message


async def test_declared_but_not_installed_could_not_start(modules: Path) -> None:
    execution = await run(modules, "1", {"gone": "set-a/node_modules/gone"})
    assert execution.outcome is Outcome.COULD_NOT_START
    assert execution.error.message == "Cannot find module 'gone': it is declared, but not installed here."


async def test_module_without_its_entry_is_an_error_that_names_it(modules: Path) -> None:
    execution = await run(modules, "require('broken')", {"broken": "set-b/node_modules/broken"})
    assert execution.outcome is Outcome.ERROR
    assert "broken" in execution.error.message


async def test_folder_outside_the_readable_ones_is_refused(modules: Path) -> None:
    with pytest.raises(ValueError, match="outside"):
        await run(modules, "1", {"x": "../elsewhere/x"})


async def test_set_added_while_the_process_is_warm_is_seen(modules: Path) -> None:
    async with SandboxPool(readable_dirs=(modules,), drain_seconds=0) as pool:
        await pool.run(
            "t", Script(key="a", source=f"{HEAD} cb() }}"), Invocation(run_id="r", arguments=({}, {}))
        )
        folder = make_package(modules / "set-c" / "node_modules" / "new", version="5")
        for path in (modules / "set-c", *(modules / "set-c").rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        script = Script(
            key="b", source=f"{HEAD} cb(null, require('new').version) }}", require_map={"new": folder}
        )
        execution = await pool.run("t", script, Invocation(run_id="r", arguments=({}, {})))
        assert execution.verdict is not None
        assert execution.verdict.result == "5"
        assert pool.status.processes == 1
