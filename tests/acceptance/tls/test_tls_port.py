"""DICOM over TLS (PS3.15 B.12, BCP 195): which handshakes succeed, who may call, and that everything works inside."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support import dcmtk
from tests.support.certificates import Authority, Certificate, authority, client_context
from tests.support.corpus import split_file
from tests.support.generate import ct, part10
from tests.support.patience import assert_within, patient
from tests.support.raw_dicom import CT, RQ, STUDY_FIND, STUDY_GET, VERIFICATION, associate_rq
from tests.support.raw_peer import LEVEL, Broken, RawScu
from tests.support.server import Server, listing, running_server, vesalius

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"


@dataclass
class Site:
    """A service with a plain and a TLS port; `mutual` asks for client certificates."""

    server: Server
    tls_port: int
    ca: Authority
    client: Certificate
    stranger: Certificate  # of another authority
    expired: Certificate


def _site(folder: Path, *, mutual: bool) -> Iterator[Site]:
    ca, other = authority(folder / "ca"), authority(folder / "other", "other")
    server_certificate = ca.issue("server")
    tls_port, destination = dcmtk.free_port(), dcmtk.free_port()
    config = (
        f'[server]\ndimse_tls_port = {tls_port}\ntls_certificate = "{server_certificate.certificate}"\n'
        f'tls_key = "{server_certificate.key}"\n'
        + (f'tls_ca = "{ca.certificate}"\n' if mutual else "")
        + f"[limits]\nartim = 2.0\n"
        f'[[peers]]\nname = "tlsdst"\nhost = "127.0.0.1"\nport = {destination}\naet = "TLSDST"\ntls = true\n'
        f'[[peers]]\nname = "self"\nhost = "127.0.0.1"\nport = {tls_port}\naet = "VESALIUS"\ntls = true\n'
        'allow = ["query"]\n'
    )
    with running_server(folder, config=config, config_file=folder / "data/vesalius.toml") as server:
        yield Site(server, tls_port, ca, ca.issue("client"), other.issue("stranger"), ca.issue("expired", days=-1))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server alone proves itself."""
    yield from _site(tmp_path_factory.mktemp("tls"), mutual=False)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Both sides prove themselves."""
    yield from _site(tmp_path_factory.mktemp("mutual"), mutual=True)


def s_client(site: Site, *options: str) -> str:
    """A handshake by the openssl command; gives what it says."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{site.tls_port}", *options]
    done = subprocess.run(words, input="", capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


def associate(site: Site, context: ssl.SSLContext, *contexts: tuple[str, list[str]], **more: object) -> RawScu:
    return RawScu.associate(site.tls_port, contexts or [(VERIFICATION, [IMPLICIT])], tls=context, **more)  # type: ignore[arg-type]


# -- handshakes ----


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_versions_that_bcp_195_forbids_are_refused(site: Site, version: str) -> None:
    text = s_client(site, version, "-cipher", "ALL:@SECLEVEL=0")
    assert "Cipher is (NONE)" in text or "Cipher    : 0000" in text, text


@pytest.mark.parametrize(("version", "name"), [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_versions_of_today_are_accepted(site: Site, version: str, name: str) -> None:
    assert f"New, {name}" in s_client(site, version)


def test_the_newest_version_is_preferred(site: Site) -> None:
    assert "New, TLSv1.3" in s_client(site)


def test_only_suites_with_forward_secrecy_and_authenticated_encryption_are_accepted(site: Site) -> None:
    lists = subprocess.run(
        ["openssl", "ciphers", "-s", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
    )
    accepted = set()
    for name in lists.stdout.strip().split(":"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers(f"{name}:@SECLEVEL=0")
            with socket.create_connection(("127.0.0.1", site.tls_port), 5) as raw, context.wrap_socket(raw) as sock:
                accepted.add(sock.cipher()[0])  # type: ignore[index]
        except (ssl.SSLError, OSError):
            continue
    assert accepted
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "POLY1305" in name) for name in accepted), accepted


def test_a_plain_association_request_on_the_tls_port_gets_no_association(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.tls_port), 5) as sock:
        sock.sendall(associate_rq())
        answer = b""
        sock.settimeout(5)
        try:
            while piece := sock.recv(4096):
                answer += piece
        except ConnectionError:
            pass
    assert answer[:1] in (b"", b"\x15"), "a TLS alert or nothing, but no PDU"
    assert answer[:1] != bytes([RQ + 1])
    with associate(site, client_context(site.ca)) as scu:
        assert scu.echo() == 0


def test_a_handshake_that_stops_half_way_ends_by_the_timer(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.tls_port), 5) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        sock.settimeout(patient(6))
        began = time.monotonic()
        try:
            assert sock.recv(4096) == b""
        except ConnectionError:
            pass
        assert_within(began, 4)


def test_tls_on_the_plain_port_is_refused_and_named_in_the_log(site: Site) -> None:
    context = client_context(site.ca)
    with (
        pytest.raises((ssl.SSLError, ConnectionError)),
        socket.create_connection(("127.0.0.1", site.server.dimse_port), 5) as raw,
    ):
        context.wrap_socket(raw, server_hostname="127.0.0.1")
    assert "tls-to-plain-port" in site.server.log_text()


def test_a_client_that_does_not_trust_the_authority_does_not_connect(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        associate(site, client_context(authority(tmp_path)))
    # It was the client that refused; the service goes on.
    with associate(site, client_context(site.ca)) as scu:
        assert scu.echo() == 0


# -- client certificates ----


def test_where_certificates_are_required_only_good_ones_associate(mutual: Site) -> None:
    with associate(mutual, client_context(mutual.ca, mutual.client)) as scu:
        assert scu.echo() == 0
    for shown in (None, mutual.stranger, mutual.expired):
        # In TLS 1.3 the client learns of it with its first read.
        with pytest.raises((OSError, Broken)):
            associate(mutual, client_context(mutual.ca, shown))
    assert mutual.server.log_text().count('"association-accepted"') >= 1


def test_the_plain_port_of_loopback_stays_for_the_tools_of_the_machine(mutual: Site) -> None:
    with RawScu.associate(mutual.server.dimse_port, [(VERIFICATION, [IMPLICIT])]) as scu:
        assert scu.echo() == 0


# -- everything works inside ----


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_store_find_and_get_over_tls(mutual: Site, version: ssl.TLSVersion) -> None:
    context = client_context(mutual.ca, mutual.client)
    context.minimum_version = context.maximum_version = version
    sent = [ct(f"tls {version.value}"[:16], 1, n, rows=256, columns=256) for n in (1, 2, 3)]
    study = {LEVEL: "STUDY", 0x0020000D: sent[0].StudyInstanceUID}
    with associate(mutual, context, (CT, [EXPLICIT])) as scu:
        for ds in sent:
            assert scu.store(CT, ds.SOPInstanceUID, EXPLICIT, split_file(part10(ds))[1]).status == 0
    with associate(
        mutual, context, (STUDY_FIND, [IMPLICIT]), (STUDY_GET, [IMPLICIT]), (CT, [EXPLICIT]), roles=[CT]
    ) as scu:
        assert [answer.status for answer in scu.find(study)] == [0xFF00, 0]
        got = scu.get(study)
    assert {one.dataset for one in got.kept} == {split_file(part10(ds))[1] for ds in sent}


def test_dcmtk_speaks_tls_with_us(site: Site, tmp_path: Path) -> None:
    trust = ("+cf", site.ca.certificate)
    where = ("-aec", "VESALIUS", "127.0.0.1", str(site.tls_port))
    dcmtk.run("echoscu", "+tla", *trust, *where)
    ds = ct("dcmtk tls")
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    dcmtk.run("storescu", "+tla", *trust, *where, tmp_path / "one.dcm")
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ds.StudyInstanceUID}", "-k", "PatientID")
    assert "[PID-1 ]" in dcmtk.run("findscu", "+tla", *trust, "-S", *keys, *where).stdout


def test_dcmtk_shows_its_certificate_where_one_is_required(mutual: Site) -> None:
    where = ("+cf", mutual.ca.certificate, "-aec", "VESALIUS", "127.0.0.1", str(mutual.tls_port))
    dcmtk.run("echoscu", "+tls", mutual.client.key, mutual.client.certificate, *where)
    assert dcmtk.run("echoscu", "+tla", *where, check=False).returncode
    stranger = mutual.stranger
    assert dcmtk.run("echoscu", "+tls", stranger.key, stranger.certificate, *where, check=False).returncode


def test_our_commands_call_a_tls_peer(mutual: Site) -> None:
    # The service's own certificate is shown; it is one that its own authority signed.
    assert vesalius("echo", "--peer", "self", data=mutual.server.data).returncode == 0
    rows = listing("find", "--peer", "self", data=mutual.server.data)
    assert {row["RetrieveAETitle"] for row in rows if "RetrieveAETitle" in row} <= {"VESALIUS"}


def test_our_commands_do_not_call_a_peer_that_they_do_not_trust(site: Site) -> None:
    # Here no authority is configured, so that of the test is unknown.
    done = vesalius("echo", "--peer", "self", data=site.server.data, check=False)
    assert done.returncode == 3
    assert "certificate" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_we_send_to_a_tls_storescp_of_dcmtk(mutual: Site, tmp_path: Path) -> None:
    ds = ct("to storescp")
    (tmp_path / "one.dcm").write_bytes(part10(ds))
    port = next(
        int(str(row["port"])) for row in listing("peers", "list", data=mutual.server.data) if row["name"] == "tlsdst"
    )
    there = mutual.ca.issue("storescp")
    got = tmp_path / "got"
    got.mkdir()
    words = ("-aet", "TLSDST", "+tls", there.key, there.certificate, "+cf", mutual.ca.certificate, "+B", "-od", got)
    with dcmtk.background("storescp", *words, str(port), port=port):
        done = vesalius("send", "--peer", "tlsdst", tmp_path / "one.dcm", "--json", data=mutual.server.data)
    assert json.loads(done.stdout)["sent"] == 1
    (path,) = got.iterdir()
    assert split_file(path.read_bytes())[1] == split_file(part10(ds))[1]
