"""Which passwords a connection accepts: Auth0's five policies, and an explanation rule by rule.

| policy    | least length | characters                                             | in a row |
| --------- | ------------ | ------------------------------------------------------ | -------- |
| none      | 1            |                                                        |          |
| low       | 6            |                                                        |          |
| fair      | 8            | lower case, upper case and a number                    |          |
| good      | 8            | three of lower case, upper case, numbers, special ones |          |
| excellent | 10           | as good                                                | at most 2|

Rules are told in the form that Auth0's clients render: ``message`` with ``%d`` places, ``format`` to fill them,
``code``, ``verified`` and ``items``. The text form is the same, filled in.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from tenterhook.directory.errors import PasswordTooLongError, PasswordTooWeakError

MAX_PASSWORD_BYTES = 4096
DEFAULT_POLICY = "good"
_MOST_IDENTICAL_IN_A_ROW = 2
_LEAST_KINDS = 3

_LEAST_LENGTH = {"none": 1, "low": 6, "fair": 8, "good": 8, "excellent": 10}
POLICIES = tuple(_LEAST_LENGTH)

_KINDS: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("lowerCase", "lower case letters (a-z)", re.compile(r"[a-z]")),
    ("upperCase", "upper case letters (A-Z)", re.compile(r"[A-Z]")),
    ("numbers", "numbers (i.e. 0-9)", re.compile(r"[0-9]")),
    (
        "specialCharacters",
        "special characters (e.g. !@#$%^&*)",
        re.compile(f"[ {re.escape(string.punctuation)}]"),
    ),
)
_REPEATED = re.compile(rf"(.)\1{{{_MOST_IDENTICAL_IN_A_ROW}}}", re.DOTALL)


def check_password(plain: str, options: Mapping[str, Any]) -> None:
    """Pass silently when a connection with these options accepts the password.

    Raises:
        PasswordTooLongError: more than ``MAX_PASSWORD_BYTES``, or text that is not Unicode.
        PasswordTooWeakError: with every rule of the policy, and whether it holds.
    """
    try:
        size = len(plain.encode())
    except UnicodeEncodeError:  # it quotes the password
        raise PasswordTooLongError("Password is not valid text.") from None
    if size > MAX_PASSWORD_BYTES:
        raise PasswordTooLongError
    rules = _rules(plain, options)
    if not all(rule["verified"] for rule in rules):
        raise PasswordTooWeakError(rules=rules, policy=_as_text(rules))


def _rules(plain: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    policy = options.get("passwordPolicy")
    if policy not in _LEAST_LENGTH:
        policy = DEFAULT_POLICY
    rules = [_length_rule(plain, _least_length(policy, options))]
    if policy == "fair":
        items = _kinds(plain, 3)
        verified = all(item["verified"] for item in items)
        rules.append(
            {"message": "Should contain:", "code": "shouldContain", "verified": verified, "items": items}
        )
    if policy in {"good", "excellent"}:
        items = _kinds(plain, 4)
        rules.append(
            {
                "message": "Contain at least %d of the following %d types of characters:",
                "format": [_LEAST_KINDS, len(items)],
                "code": "containsAtLeast",
                "verified": sum(item["verified"] for item in items) >= _LEAST_KINDS,
                "items": items,
            }
        )
    if policy == "excellent":
        rules.append(
            {
                "message": 'No more than %d identical characters in a row (e.g., "%s" not allowed)',
                "format": [_MOST_IDENTICAL_IN_A_ROW, "a" * (_MOST_IDENTICAL_IN_A_ROW + 1)],
                "code": "identicalChars",
                "verified": _REPEATED.search(plain) is None,
            }
        )
    return rules


def _least_length(policy: str, options: Mapping[str, Any]) -> int:
    own = options.get("password_complexity_options")
    chosen = own.get("min_length") if isinstance(own, Mapping) else None
    return chosen if isinstance(chosen, int) and 1 <= chosen <= 128 else _LEAST_LENGTH[policy]


def _length_rule(plain: str, least: int) -> dict[str, Any]:
    verified = len(plain) >= least
    if least == 1:
        return {"message": "Non-empty password required", "code": "nonEmpty", "verified": verified}
    return {
        "message": "At least %d characters in length",
        "format": [least],
        "code": "lengthAtLeast",
        "verified": verified,
    }


def _kinds(plain: str, count: int) -> list[dict[str, Any]]:
    return [
        {"message": message, "code": code, "verified": pattern.search(plain) is not None}
        for code, message, pattern in _KINDS[:count]
    ]


def _as_text(rules: list[dict[str, Any]], depth: int = 0) -> str:
    lines = []
    for rule in rules:
        message = rule["message"] % tuple(rule["format"]) if "format" in rule else rule["message"]
        lines.append(" " * depth + "* " + message)
        if "items" in rule:
            lines.append(_as_text(rule["items"], depth + 1))
    return "\n".join(lines)
