from __future__ import annotations

import pytest

from tenterhook.tenant_log import is_mobile, summarize

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36"
EDGE = CHROME + " Edg/129.0.2792.52"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4.1 Mobile/15E148 Safari/604.1"
)
ANDROID = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.6668.70 Mobile Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "shown", "mobile"),
    [
        (None, "Other 0.0.0 / Other 0.0.0", False),
        ("", "Other 0.0.0 / Other 0.0.0", False),
        ("Python/3.11.7", "Other 0.0.0 / Other 0.0.0", False),
        ("node.js/20.20.2", "Other 0.0.0 / Other 0.0.0", False),
        (CHROME, "Chrome 129.0.0 / Windows 10.0.0", False),
        (EDGE, "Edge 129.0.2792 / Windows 10.0.0", False),
        (FIREFOX, "Firefox 128.0.0 / Linux 0.0.0", False),
        (PHONE, "Mobile Safari 17.4.1 / iOS 17.4.1", True),
        (ANDROID, "Chrome 129.0.6668 / Android 14.0.0", True),
    ],
)
def test_a_user_agent_is_shown_as_auth0s_logs_show_it(user_agent, shown, mobile) -> None:
    assert summarize(user_agent) == shown
    assert is_mobile(user_agent) is mobile
