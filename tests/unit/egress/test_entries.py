"""Lines of lists: what is read, as what, and what is refused with which advice."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenterhook.egress import Entry, InvalidEntryError, InvalidGrantError, canonical, parse_grants
from tenterhook.errors import ConfigurationError, InvalidInputError


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("api.example.com:443", "api.example.com:443"),
        ("API.Example.COM.:443", "api.example.com:443"),
        ("  api.example.com:443\n", "api.example.com:443"),
        ("*.Example.com:8443", "*.example.com:8443"),
        ("redis:6379", "redis:6379"),
        ("my_service.internal:*", "my_service.internal:*"),
        ("xn--bcher-kva.example:443", "xn--bcher-kva.example:443"),
        ("10.1.2.3:1", "10.1.2.3:1"),
        ("10.1.2.3:65535", "10.1.2.3:65535"),
        ("10.1.2.3/32:80", "10.1.2.3:80"),
        ("10.1.2.0/24:*", "10.1.2.0/24:*"),
        ("0.0.0.0/0:443", "0.0.0.0/0:443"),
        ("[2001:DB8::0:1]:443", "[2001:db8::1]:443"),
        ("[2001:db8::1/128]:443", "[2001:db8::1]:443"),
        ("[fd00::/8]:443", "[fd00::/8]:443"),
        ("[fd00::]/8:443", "[fd00::/8]:443"),
        ("[::ffff:10.1.2.3]:443", "10.1.2.3:443"),
        ("[::ffff:10.0.0.0/104]:443", "10.0.0.0/8:443"),
        ("[::]/0:*", "[::/0]:*"),
    ],
)
def test_entries_are_read(text, read):
    entry = Entry.parse(text)
    assert str(entry) == read
    assert Entry.parse(read) == entry
    assert pickle.loads(pickle.dumps(entry)) == entry


@pytest.mark.parametrize(
    ("text", "in_ascii"),
    [  # the second column is what Node 24's url.domainToASCII answers
        ("straße.de", "xn--strae-oqa.de"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("ΣΑΣ.gr", "xn--mxa9ab.gr"),
        ("日本語.jp", "xn--wgv71a119e.jp"),
        ("İx.de", "xn--ix-rub.de"),
        ("cafe\u0301.fr", "xn--caf-dma.fr"),
        ("पाठ.भारत", "xn--d2bt4d.xn--h2brj9c"),
        ("*.münchen.de", "*.xn--mnchen-3ya.de"),
    ],
)
def test_names_outside_ascii_become_what_node_asks_for(text, in_ascii):
    assert Entry.parse(text, default_port=443).host == in_ascii


@pytest.mark.parametrize(
    "text",
    [
        "STRAẞE.de",  # a capital that one standard makes ß of, another ss
        "hoo\u212as.de",  # the Kelvin sign
        "api。example.com",  # an ideographic full stop, which is a dot for browsers
        "\uff11\uff12\uff17.0.0.1",  # full-width digits
        "a\u200db.example",  # a joiner, of meaning in one standard alone
        "\u0301a.example",  # begins with a combining mark
        "xn--ü.example",
        "ex\u00adample.com",  # soft hyphen
        "ⅳ.example",
        "💥.example",
    ],
)
def test_names_that_can_be_read_in_two_ways_are_refused(text):
    with pytest.raises(InvalidEntryError, match="ASCII form"):
        Entry.parse(text, default_port=443)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "api.example.com:443"),
        ("   ", "api.example.com:443"),
        ("api.example.com", "write api.example.com:443, or api.example.com:* for any port"),
        ("10.1.2.3", "write 10.1.2.3:443"),
        ("[::1]", "the port is missing"),
        ("api.example.com:", "from 1 to 65535"),
        ("api.example.com:0", "from 1 to 65535"),
        ("api.example.com:65536", "from 1 to 65535"),
        ("api.example.com:00443", "from 1 to 65535"),
        ("api.example.com:-1", "from 1 to 65535"),
        ("api.example.com:+443", "from 1 to 65535"),
        ("api.example.com:4_43", "from 1 to 65535"),
        ("api.example.com:\uff14\uff14\uff13", "from 1 to 65535"),
        ("api.example.com: 443", "from 1 to 65535"),
        ("api.example.com:https", "from 1 to 65535"),
        ("api.example.com:80-90", "from 1 to 65535"),
        ("api.example.com:443/path", "from 1 to 65535"),
        ("api.example.com:999999999999999999999999", "from 1 to 65535"),
        ("https://api.example.com", "without scheme and path"),
        ("api.example.com/path:443", "without path or user"),
        ("user@api.example.com:443", "without path or user"),
        ("user:password@api.example.com:443", "in brackets"),
        ("api..example.com:443", "between two dots"),
        (".example.com:443", "between two dots"),
        (".:443", "between two dots"),
        (":443", "between two dots"),
        ("api.example.com..:443", "between two dots"),
        ("-api.example.com:443", "letters, digits and hyphens"),
        ("api-.example.com:443", "letters, digits and hyphens"),
        ("api example.com:443", "letters, digits and hyphens"),
        ("api\0.example.com:443", "letters, digits and hyphens"),
        ("a,b:443", "letters, digits and hyphens"),
        (f"{'a' * 64}.com:443", "at most 63"),
        (f"{'a.' * 127}com:443", "at most 253"),
        ("a" * 1000, "too long"),
        ("*:443", "a list of everything"),
        ("*.:443", "between two dots"),
        ("*.*.com:443", "the star stands only"),
        ("api.*.com:443", "the star stands only"),
        ("*api.example.com:443", "the star stands only"),
        ("*.10:443", "four decimal numbers"),
        ("127.1:443", "four decimal numbers"),
        ("010.0.0.1:443", "four decimal numbers"),
        ("2130706433:443", "four decimal numbers"),
        ("0x7f.0.0.1:443", "four decimal numbers"),
        ("0x7f000001:443", "four decimal numbers"),
        ("example.0x:443", "four decimal numbers"),
        ("256.0.0.1:443", "four decimal numbers"),
        ("10.1.2.3.4:443", "four decimal numbers"),
        ("10.1.2.0/33:443", "four decimal numbers"),
        ("10.1.2.3/24:443", "write 10.1.2.0/24 for the network"),
        ("example.com/24:443", "without path or user"),
        ("::1:443", "in brackets"),
        ("fd00::/8:443", "in brackets"),
        ("[::1:443", "in brackets"),
        ("[[::1]]:443", "in brackets"),
        ("[::1]443", "in brackets"),
        ("[]:443", "in brackets stands"),
        ("[10.0.0.1]:443", "in brackets stands"),
        ("[example.com]:443", "in brackets stands"),
        ("[fd00::1/8]:443", "write [fd00::/8] for the network"),
        ("[::/129]:443", "in brackets stands"),
        ("[fe80::1%eth0]:443", "zone"),
    ],
)
def test_malformed_entries_are_refused_with_advice(text, advice):
    with pytest.raises(InvalidEntryError) as caught:
        Entry.parse(text)
    assert advice in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable()
    assert isinstance(caught.value, InvalidInputError)


@given(st.text(max_size=40) | st.from_regex(r"\[?[0-9a-f.:*/%-]{0,30}\]?(:[0-9*]{0,6})?", fullmatch=True))
@example("[::ffff:0:0/95]:443")
def test_whatever_is_read_reads_back_as_itself(text):
    try:
        entry = Entry.parse(text, default_port=443)
    except InvalidEntryError:
        return
    assert Entry.parse(str(entry)) == entry
    assert str(entry).isascii()


def test_an_entry_is_of_a_host_or_a_network():
    with pytest.raises(ValueError, match="either a host or a network"):
        Entry(port=443)


@pytest.mark.parametrize(
    ("entry", "address", "port", "names", "matches"),
    [
        ("api.example.com:443", "8.8.8.8", 443, {"api.example.com"}, True),
        ("api.example.com:443", "8.8.8.8", 443, {"other.example.com", "api.example.com"}, True),
        ("api.example.com:443", "8.8.8.8", 444, {"api.example.com"}, False),
        ("api.example.com:443", "8.8.8.8", 443, set(), False),
        ("api.example.com:443", "8.8.8.8", 443, {"x.api.example.com"}, False),
        ("api.example.com:443", "8.8.8.8", 443, {"xapi.example.com"}, False),
        ("*.example.com:443", "8.8.8.8", 443, {"api.example.com"}, True),
        ("*.example.com:443", "8.8.8.8", 443, {"a.b.example.com"}, True),
        ("*.example.com:443", "8.8.8.8", 443, {"example.com"}, False),
        ("*.example.com:443", "8.8.8.8", 443, {"badexample.com"}, False),
        ("*.example.com:443", "8.8.8.8", 443, {"example.com.evil.example"}, False),
        ("10.1.2.3:*", "10.1.2.3", 1, set(), True),
        ("10.1.2.3:80", "10.1.2.4", 80, set(), False),
        ("10.1.2.0/24:80", "10.1.2.0", 80, set(), True),
        ("10.1.2.0/24:80", "10.1.2.255", 80, set(), True),
        ("10.1.2.0/24:80", "10.1.1.255", 80, set(), False),
        ("10.1.2.0/24:80", "10.1.3.0", 80, set(), False),
        ("10.1.2.0/24:80", "10.1.2.7", 80, {"api.example.com"}, True),
        ("[::/0]:*", "10.1.2.7", 80, set(), False),
        ("[fd00::/8]:80", "fd12::1", 80, set(), True),
        ("[fd00::/8]:80", "fc12::1", 80, set(), False),
        ("10.1.2.3:80", "::ffff:10.1.2.3", 80, set(), True),
    ],
)
def test_what_an_entry_is_about(entry, address, port, names, matches):
    assert Entry.parse(entry).matches(canonical(address), port, frozenset(names)) is matches


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://acme.example.com", "acme.example.com:443"),
        ("http://acme.example.com/", "acme.example.com:80"),
        ("https://Acme.Example.com:8585/x?y#z", "acme.example.com:8585"),
        ("http://127.0.0.1:8585", "127.0.0.1:8585"),
        ("http://[::1]:8585", "[::1]:8585"),
        ("http://[::ffff:127.0.0.1]", "127.0.0.1:80"),
    ],
)
def test_the_entry_of_a_url(url, entry):
    assert str(Entry.of_url(url)) == entry


@pytest.mark.parametrize(
    "url", ["", "acme.example.com", "ftp://x.example", "https://", "http://x:99999", "http://[::1"]
)
def test_a_url_without_host_or_known_scheme_is_refused(url):
    with pytest.raises(InvalidEntryError):
        Entry.of_url(url)


def test_grants_are_read():
    grants = parse_grants("127.0.0.1:8099,10.1.2.0/24:443,\n hooks.internal:443 [::1]:*,,127.0.0.1:8099")
    assert [str(entry) for entry in grants] == [
        "10.1.2.0/24:443",
        "127.0.0.1:8099",
        "[::1]:*",
        "hooks.internal:443",
    ]
    assert parse_grants("") == parse_grants(" , ") == ()


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("127.0.0.1:8099,10.1.2.3", "TENTERHOOK_EGRESS_ALLOW: '10.1.2.3': the port is missing"),
        ("http://x.example", "without scheme"),
        ("127.0.0.1:8099;x", "from 1 to 65535"),
    ],
)
def test_grants_that_cannot_be_read_stop_the_start(text, advice):
    with pytest.raises(InvalidGrantError) as caught:
        parse_grants(text)
    assert advice in caught.value.message
    assert isinstance(caught.value, ConfigurationError)
