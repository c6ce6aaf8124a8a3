"""HL7 is open to a network, and sent over one, only when somebody says so (T1)."""

from __future__ import annotations

import pytest

from vesalius.app.checks import Listener, check, listeners
from vesalius.app.settings import ServerSettings, Settings
from vesalius.app.settings_hl7 import Hl7DestinationSettings, Hl7FieldSettings, Hl7Settings, Hl7SourceSettings
from vesalius.model.errors import SettingsError

HIS = Hl7SourceSettings(name="HIS", application="HIS")


def of(certificate: str = "", **hl7: object) -> Settings:
    return Settings(server=ServerSettings(tls_certificate=certificate), hl7=Hl7Settings(**hl7))  # type: ignore[arg-type]


def test_nothing_listens_until_somebody_says_so() -> None:
    assert listeners(of()).hl7 == ()
    assert listeners(of(sources=(HIS,))).hl7 == ()


def test_on_loopback_the_plain_port_is_open() -> None:
    assert listeners(of(listen=True)).hl7 == (Listener("127.0.0.1", 2575, tls=False),)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_network_address_without_tls_is_refused_by_the_name_of_the_setting(host: str) -> None:
    with pytest.raises(SettingsError, match=r"hl7\.host") as caught:
        listeners(of(listen=True, host=host, sources=(HIS,)))
    assert "hl7.insecure_plain" in caught.value.hint
    assert "server.tls_certificate" in caught.value.hint


def test_plain_hl7_on_a_network_must_be_said_aloud_and_with_a_certificate_it_is_tls() -> None:
    found = listeners(of(listen=True, host="0.0.0.0", sources=(HIS,), insecure_plain=True)).hl7
    assert found == (Listener("0.0.0.0", 2575, tls=False),)
    found = listeners(of("some.pem", listen=True, host="0.0.0.0", sources=(HIS,))).hl7
    assert found == (Listener("127.0.0.1", 2575, tls=False), Listener("0.0.0.0", 2576, tls=True))


def test_listening_to_nobody_is_a_mistake() -> None:
    with pytest.raises(SettingsError, match="nobody may send"):
        listeners(of(listen=True, allow_unknown_on_loopback=False))
    with pytest.raises(SettingsError, match="nobody may send"):
        listeners(of(listen=True, host="0.0.0.0", insecure_plain=True))


def test_sending_over_a_network_without_tls_must_be_said_aloud() -> None:
    far = {"name": "HIS", "host": "192.0.2.7", "port": 2575}
    with pytest.raises(SettingsError, match=r"hl7\.destinations: HIS"):
        check(of(destinations=(Hl7DestinationSettings(**far),)))  # type: ignore[arg-type]
    for more in ({"tls": True}, {"insecure_plain": True}, {"host": "127.0.0.1"}):
        check(of(destinations=(Hl7DestinationSettings(**{**far, **more}),)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (Hl7SourceSettings(name="A", charset="KLINGON"), "KLINGON"),
        (Hl7SourceSettings(name="A", addresses=("his.example.org",)), "his.example.org"),
        (Hl7SourceSettings(name="A", fields=(Hl7FieldSettings(name="order.acession", path="OBR-20"),)), "acession"),
        (Hl7SourceSettings(name="A", fields=(Hl7FieldSettings(name="order.accession", path="OBR20"),)), "OBR20"),
    ],
)
def test_what_is_wrong_with_a_source_is_said_before_anything_is_open(source: Hl7SourceSettings, word: str) -> None:
    with pytest.raises(SettingsError, match=word) as caught:
        check(of(sources=(source,)))
    assert caught.value.hint


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="same name"):
        check(of(sources=(HIS, HIS)))
