"""What /metrics says of HL7: what came and went, by source and destination, what waits, and nobody's name."""

from __future__ import annotations

import re
import time
from pathlib import Path

from tests.support.dcmtk import free_port
from tests.support.hl7_site import adt, msh, orm
from tests.support.mllp import Mllp, destination
from tests.support.server import Server, running_server

CONFIG = """
[hl7]
listen = true
port = {port}
allow_unknown_on_loopback = false
retry_first = 0.2
retry_longest = 0.4

[[hl7.sources]]
name = "HIS"
application = "HIS"

[[hl7.destinations]]
name = "AWAY"
host = "127.0.0.1"
port = {away}
sends = ["orders"]

[[hl7.destinations]]
name = "THERE"
host = "127.0.0.1"
port = {there}
sends = ["orders"]
"""
IN, OUT = "vesalius_hl7_messages_total", "vesalius_hl7_queue"


def values(server: Server) -> dict[str, float]:
    """`name{labels}` -> value, of HL7."""
    status, text = server.get("/metrics")
    assert status == 200
    return {
        found[1]: float(found[2])
        for found in re.finditer(r"^(vesalius_hl7\S*\{.*\}|vesalius_hl7\S*) (\S+)$", text, re.MULTILINE)
    }


def of(name: str, **labels: str) -> str:
    inside = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"{name}{{{inside}}}"


def until(server: Server, wanted: dict[str, float]) -> dict[str, float]:
    """The metrics, once they say this; gauges are looked up every ten seconds."""
    end = time.monotonic() + 60
    while True:
        found = values(server)
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
        assert time.monotonic() < end, {name: found.get(name) for name in wanted}
        time.sleep(0.2)


def test_messages_are_counted_by_partner_and_outcome_and_what_waits_has_an_age(tmp_path: Path) -> None:
    port, away = free_port(), free_port()
    with destination() as there:
        config = CONFIG.format(port=port, away=away, there=there.port)
        with running_server(tmp_path, config=config) as server:
            with Mllp(port) as his:
                first = adt("A04", "4711^^^H^MR||Secret^Jane||19700101|F")
                for _ in range(2):
                    assert his.ask(first).value("MSA", 1) == "AA"
                assert his.ask(adt("A08", "9999^^^H^MR||Nobody^Known")).value("MSA", 1) == "AE"
                assert his.ask(orm("NW", "PL1", pid="4711^^^H^MR||Secret^Jane")).value("MSA", 1) == "AA"
                assert his.ask(orm("CA", "PL1", pid="4711^^^H^MR||Secret^Jane")).value("MSA", 1) == "AA"
                assert his.ask(msh("ADT^A04", f3="STRANGER") + "PID|1||1\r").value("MSA", 1) == "AR"
                assert his.ask("no message at all").value("MSA", 1) == "AR"
            found = until(
                server,
                {
                    of(IN, way="in", partner="HIS", outcome="done"): 3,
                    of(IN, way="in", partner="HIS", outcome="again"): 1,
                    of(IN, way="in", partner="HIS", outcome="refused"): 1,
                    of(IN, way="in", partner="unknown", outcome="unknown-sender"): 1,
                    of(IN, way="in", partner="unknown", outcome="no-message"): 1,
                    of(IN, way="out", partner="THERE", outcome="sent"): 1,
                    of("vesalius_hl7_connections_total", outcome="accepted"): 1,
                    of("vesalius_hl7_inbox", source="HIS", state="refused"): 1,
                    of("vesalius_hl7_inbox", source="HIS", state="waiting"): 0,
                    of(OUT, destination="AWAY", state="waiting"): 1,
                },
            )
            assert found[of("vesalius_hl7_queue_oldest_seconds", destination="AWAY")] > 0
            assert found[of(IN, way="out", partner="AWAY", outcome="failed")] >= 1
            text = server.get("/metrics")[1]
            assert "Secret" not in text and "4711" not in text and "STRANGER" not in text
