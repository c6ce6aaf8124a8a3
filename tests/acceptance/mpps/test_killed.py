"""The power goes right after an answer, and again: nothing acknowledged is lost, and each state changes once."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.mpps.test_forwarding import BOTH, config
from tests.support.dcmtk import free_port
from tests.support.generate import uid
from tests.support.mpps import Partner, Scanner, changes_of, ended, lost, until
from tests.support.server import Server, start_again, start_server


def test_what_was_acknowledged_survives_a_kill_and_the_partner_hears_of_it_once(tmp_path: Path) -> None:
    port, step = free_port(), uid("step", "killed")
    server: Server = start_server(tmp_path / "data", config=config(port))
    try:
        scanner = Scanner(server.dimse_port)
        assert scanner.begin(step) == 0
        server.kill()
        server = start_again(server)
        with Partner(port).listening() as partner:
            until(lambda: partner.of(step) == BOTH[:1], "told after the restart")
            partner.instead = lost  # the partner's answer to the end never comes, and then the process is gone
            assert scanner.set(step, ended()) == 0
            server.kill()
            server = start_again(server)
            until(lambda: partner.of(step) == BOTH, "told of the end")
            assert scanner.begin(step) == 0x0111
            assert scanner.set(step, ended()) == 0x0110
            assert changes_of(server.data, step) == ["performed-created", "performed-state"]
            after = uid("step", "after")
            assert scanner.begin(after) == 0
            until(lambda: partner.of(after), "the next step is told")
            assert partner.of(step) == BOTH, "each change of state once"
    finally:
        server.kill()
