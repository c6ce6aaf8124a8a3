"""HL7 over TLS, in both directions: who proves nothing is not heard, and nothing is sent to who proves nothing."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import pytest
from tests.support.certificates import authority, client_context
from tests.support.dcmtk import free_port
from tests.support.hl7_site import adt, orm, said
from tests.support.mllp import Mllp
from tests.support.server import listing, running_server


def test_over_tls_both_ways_with_proof_and_nothing_without(tmp_path: Path) -> None:
    ca, other = authority(tmp_path / "ca"), authority(tmp_path / "other", "other")
    own = ca.issue("server")
    plain, tls = free_port(), free_port()
    # The service is its own destination: what it sends it receives, over its own TLS port.
    config = (
        f'[server]\ntls_certificate = "{own.certificate}"\ntls_key = "{own.key}"\ntls_ca = "{ca.certificate}"\n'
        f"dimse_tls_port = 0\n[hl7]\nlisten = true\nport = {plain}\ntls_port = {tls}\nrefusals = 1\n"
        f'[[hl7.destinations]]\nname = "SELF"\nhost = "localhost"\nport = {tls}\ntls = true\nsends = ["orders"]\n'
    )
    with running_server(tmp_path, config=config) as server:
        with Mllp(tls, tls=client_context(ca, ca.issue("client"))) as his:
            assert said(his.ask(adt("A04", "4711^^^H^MR||Doe^Jane"))) == "AA"
            assert said(his.ask(orm("NW", "P1"))) == "AA"
            assert said(his.ask(orm("HD", "P1"))) == "AA"
        for shown in (None, other.issue("stranger"), ca.issue("expired", days=-1)):
            refused = (ssl.SSLError, ConnectionError, AssertionError)  # TLS 1.3 tells a client late
            with pytest.raises(refused), Mllp(tls, tls=client_context(ca, shown)) as his:
                his.ask(adt("A04", "666^^^H||Evil"))
        with pytest.raises((ConnectionError, AssertionError)), Mllp(tls) as his:
            his.ask(adt("A04", "666^^^H||Evil"))
        end = time.monotonic() + 30
        while not (rows := listing("hl7", "list", "out", data=server.data)) or rows[0]["state"] == "waiting":
            assert time.monotonic() < end, rows
            time.sleep(0.2)
        assert "AE" in str(rows[0]["code"]) or rows[0]["state"] == "sent", "it was heard, over TLS"
