"""The parser that finds a script's modules."""

from __future__ import annotations

import pytest

from tenterhook.sandbox.modules import Requirement, required_modules

SLACK_HOOK = """
/**
@param {object} user - require('not-this-one')
*/
module.exports = function (user, context, cb) {
  // require("nor-this")
  var slack = require('slack-notify')('https://hooks.slack.com/services/1/2/3');
  slack.success({ text: 'New user: ' + user.email }, cb);
};
"""


def specifiers(source: str) -> list[str]:
    return [module.specifier for module in required_modules(source).modules]


def test_slack_hook_requires_slack_notify_and_nothing_else():
    assert required_modules(SLACK_HOOK).modules == (
        Requirement(text="slack-notify", name="slack-notify", version=None, subpath="", line=7, column=23),
    )


@pytest.mark.parametrize(
    ("source", "name", "version", "subpath"),
    [
        ("require('lodash')", "lodash", None, ""),
        ('require("lodash")', "lodash", None, ""),
        ("require(`lodash`)", "lodash", None, ""),
        ("require( /* why */ 'lodash' , 1)", "lodash", None, ""),
        ("require('lodash/fp')", "lodash", None, "/fp"),
        ("require('lodash@4.17.21/fp')", "lodash", "4.17.21", "/fp"),
        ("require('@sendgrid/mail')", "@sendgrid/mail", None, ""),
        ("require('@scope/pkg@1.2.3/sub/x.js')", "@scope/pkg", "1.2.3", "/sub/x.js"),
        ("require('x@1.2.3-beta.1+build')", "x", "1.2.3-beta.1+build", ""),
        ("import('uuid').then(f)", "uuid", None, ""),
        ("require('JSONStream')", "JSONStream", None, ""),
        ("require('punycode/')", "punycode", None, "/"),
        ("require('events@3.3.0')", "events", "3.3.0", ""),
        ("require('lod\\x61sh')", "lodash", None, ""),
        ("require('\\u{6c}odash')", "lodash", None, ""),
        ("async () => { const { a: [b] = [] } = await (0, require('lodash')).x?.y }", "lodash", None, ""),
        ("class A { static #x = require('lodash') }", "lodash", None, ""),
        ("`${require('lodash')}`", "lodash", None, ""),
        ("#!/usr/bin/env node\nrequire('lodash')", "lodash", None, ""),
    ],
)
def test_module_is_found(source, name, version, subpath):
    (module,) = required_modules(source).modules
    assert (module.name, module.version, module.subpath) == (name, version, subpath)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "require('fs'), require('node:fs'), require('fs/promises'), import('node:test')",
        "require(name), require('a' + b), require(`a${b}`), require()",
        "// require('lodash')\n/* require('lodash') */ 'require(\"lodash\")'",
        "/require('lodash')/.test(x)",
        "other.require('lodash'), required('lodash')",
        "import('data:text/javascript,1')",
    ],
)
def test_nothing_is_found(source):
    found = required_modules(source)
    assert (found.modules, found.problems, found.parsed) == ((), (), True)


@pytest.mark.parametrize(
    "text",
    ["./x", "../x", ".", "..", "/etc/passwd", "file:///etc/passwd", "C:\\\\x", "./x@1.2.3"],
)
def test_path_is_a_problem(text):
    (problem,) = required_modules(f"require('{text}')").problems
    assert "by path" in problem.reason


@pytest.mark.parametrize(
    "version", ["^1.2.3", "~1", "1", "1.2", "1.x", "latest", "", "*", ">=1.0.0 <2", "01.2.3", "1.2.3@4.5.6"]
)
def test_range_behind_at_sign_is_a_problem(version):
    found = required_modules(f"require('lodash@{version}')")
    assert found.modules == ()
    assert "exact version" in found.problems[0].reason or "not the name" in found.problems[0].reason


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "@scope", "@/x", ".hidden", "_x", "http://x/y", "#imports", "x" * 215]
)
def test_what_is_no_name_is_a_problem(text):
    found = required_modules(f"require('{text}')")
    assert found.modules == ()
    assert len(found.problems) == 1


def test_position_counts_characters_not_bytes():
    (module,) = required_modules("\n/* äöü€😀 */ require('lodash')").modules
    assert (module.line, module.column) == (2, 21)


def test_order_is_that_of_the_text_and_repetitions_stay():
    assert specifiers("require('b'); require('a'); import('b')") == ["b", "a", "b"]


@pytest.mark.parametrize(
    "source", ["function (", "require('lodash'", "module.exports = function(a {}; require('x')"]
)
def test_script_that_does_not_parse_lists_nothing_and_says_so(source):
    found = required_modules(source)
    assert (found.modules, found.parsed) == ((), False)


def test_syntax_errors_can_be_read_over():
    found = required_modules("yield = 1; require('lodash')", allow_syntax_errors=True)
    assert [module.name for module in found.modules] == ["lodash"]
    assert not found.parsed


def test_lone_surrogate_does_not_break_the_parser():
    assert specifiers("'\ud800'; require('lodash')") == ["lodash"]


def test_deep_nesting_does_not_break_the_parser():
    assert required_modules("(" * 20_000 + "require('lodash')" + ")" * 20_000).parsed in {True, False}
