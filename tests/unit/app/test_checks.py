"""Nothing is open to a network by accident (T1)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from vesalius.app.checks import Listener, check, is_loopback, listeners, reserve, worker_count
from vesalius.app.settings import CopySettings, PeerSettings, ServerSettings, Settings, StoreSettings
from vesalius.model.errors import SettingsError


def of(**server: object) -> Settings:
    return Settings(server=ServerSettings(**server))  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_loopback_is_known_as_such(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", ""])
def test_everything_else_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_a_network_address_without_tls_is_refused_by_the_name_of_the_setting(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        listeners(of(host=host))
    assert "server.host" in caught.value.message
    assert "--insecure-plain-dicom" in caught.value.hint and "server.tls_certificate" in caught.value.hint


def test_plain_dicom_on_a_network_must_be_said_aloud() -> None:
    found = listeners(of(host="0.0.0.0", insecure_plain_dicom=True))
    assert found.dimse == (Listener("0.0.0.0", 11112, tls=False),)


def test_with_a_certificate_the_network_gets_tls_and_loopback_the_plain_port() -> None:
    found = listeners(of(host="0.0.0.0", tls_certificate="some.pem"))
    assert found.dimse == (Listener("127.0.0.1", 11112, tls=False), Listener("0.0.0.0", 2762, tls=True))


def test_http_on_a_network_needs_tls_or_the_word_for_it() -> None:
    with pytest.raises(SettingsError, match=r"server\.http_host"):
        listeners(of(http_host="0.0.0.0"))
    assert listeners(of(http_host="0.0.0.0", tls_certificate="some.pem")).http.tls
    assert not listeners(of(http_host="0.0.0.0", insecure_plain_http=True)).http.tls


def test_an_unknown_address_is_a_wrong_setting() -> None:
    with pytest.raises(SettingsError, match=r"no-such-host\.invalid"):
        listeners(of(host="no-such-host.invalid"))


@pytest.mark.parametrize("title", [" ", "A\\B", "ÄÖÜ", "A\nB"])
def test_an_illegal_ae_title_is_refused(title: str) -> None:
    with pytest.raises(SettingsError, match="ae_title"):
        check(of(ae_title=title))


def test_two_peers_or_places_of_one_name_are_refused() -> None:
    peer = PeerSettings(name="A", host="h", port=1)
    with pytest.raises(SettingsError, match="peers"):
        check(Settings(peers=(peer, peer)))
    place = CopySettings(name="b", path="/b")
    with pytest.raises(SettingsError, match=r"store\.copies"):
        check(Settings(store=StoreSettings(copies=(place, place))))


def test_a_certificate_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tls_certificate"):
        check(of(tls_certificate=str(tmp_path / "absent.pem")))


def test_a_taken_port_is_refused_and_a_free_one_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SettingsError, match="cannot listen"):
        reserve(Listener("127.0.0.1", taken.getsockname()[1], tls=False))
    found, held = reserve(Listener("127.0.0.1", 0, tls=False))
    with held:
        assert found.port > 0
        with socket.socket() as other, pytest.raises(OSError):
            other.bind(("127.0.0.1", found.port))


def test_a_reserved_port_takes_no_connection_from_the_workers() -> None:
    found, held = reserve(Listener("127.0.0.1", 0, tls=False))
    with held, socket.create_server(("127.0.0.1", found.port), reuse_port=True) as worker:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", found.port), timeout=2):
                worker.settimeout(2)
                worker.accept()[0].close()


def test_the_number_of_workers_fits_the_machine_unless_it_is_set() -> None:
    assert 1 <= worker_count(Settings()) <= 8
    assert worker_count(of(workers=3)) == 3
