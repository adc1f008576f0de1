"""The values around a module set."""

from __future__ import annotations

import json

from tenterhook.sandbox.modules import ModuleSet, Origin, Progress, ResolvedModule, Stage
from tenterhook.sandbox.modules.module_set import installed_names


def module(specifier: str, version: str) -> ResolvedModule:
    name = specifier if specifier.rfind("@") <= 0 else specifier[: specifier.rindex("@")]
    return ResolvedModule(specifier=specifier, name=name, version=version, origin=Origin.VERSIONED)


def test_bare_require_has_the_modules_own_name_and_other_versions_have_aliases():
    found = installed_names([module("a@1.0.0", "1.0.0"), module("a", "2.0.0"), module("a@2.0.0", "2.0.0")])
    assert found == {"a": "a", "a@2.0.0": "a", "a@1.0.0": "@versioned/a--1.0.0"}


def test_without_a_bare_require_one_version_still_has_the_own_name():
    found = installed_names([module("@s/a@1.0.0", "1.0.0"), module("@s/a@2.0.0+b", "2.0.0+b")])
    assert found == {"@s/a@1.0.0": "@s/a", "@s/a@2.0.0+b": "@versioned/s__a--2.0.0-b"}


def test_set_survives_the_database():
    kept = ModuleSet(modules=(module("a@1.0.0", "1.0.0"),), lock='{"packages": {}}')
    assert ModuleSet.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_key_depends_on_requests_and_lock_but_not_on_who_asked():
    one = ModuleSet(modules=(module("a", "1.0.0"),), lock="x")
    declared = ResolvedModule(
        specifier="a", name="a", version="1.0.0", origin=Origin.DECLARED, requested="^1"
    )
    assert len(one.key) == 64
    assert ModuleSet(modules=(declared,), lock="x").key == one.key
    assert ModuleSet(modules=one.modules, lock="y").key != one.key
    assert ModuleSet(modules=(module("a@1.0.0", "1.0.0"),), lock="x").key != one.key


def test_progress_reads_as_a_line():
    assert (
        str(Progress(stage=Stage.FETCHING, elapsed_seconds=1.25, done=3, total=50)) == "fetching 3/50 (1.2 s)"
    )
    assert str(Progress(stage=Stage.DONE, elapsed_seconds=2)) == "done (2.0 s)"
