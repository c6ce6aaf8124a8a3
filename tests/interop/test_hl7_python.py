"""HL7 with a second implementation: python-hl7's `mllp_send` as sender, its MLLP server as destination."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support.dcmtk import free_port
from tests.support.hl7_site import adt, orm
from tests.support.mllp import Mllp
from tests.support.server import listing, running_server

pytest.importorskip("hl7")

RECEIVER = """
import asyncio, sys
from hl7.mllp import start_hl7_server

async def serve(reader, writer):
    while not writer.is_closing():
        message = await reader.readmessage()
        print(str(message[0][9]), message.extract_field("ORC", 1, 2, 1, 1), flush=True)
        writer.writemessage(message.create_ack())
        await writer.drain()

async def main():
    server = await start_hl7_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()

asyncio.run(main())
"""


def test_mllp_send_of_python_hl7_is_answered_message_by_message(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "messages.hl7"
    texts = [adt("A04", f"I{at}^^^H||Doe^Jane", control_id=f"I{at}") for at in range(5)]
    texts.append(adt("A08", "UNKNOWN^^^H||Doe^Jane", control_id="I5"))
    file.write_bytes(b"".join(b"\x0b" + text.encode() + b"\x1c\r" for text in texts))
    tool = Path(sys.executable).parent / "mllp_send"
    with running_server(tmp_path, config=f"[hl7]\nlisten = true\nport = {port}\n") as server:
        done = subprocess.run(
            [str(tool), "-p", str(port), "-f", str(file), "127.0.0.1"], capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip
        for at in range(5):
            assert f"MSA|AA|I{at}" in done.stdout
        assert "MSA|AE|I5" in done.stdout
        assert len(listing("hl7", "list", "--state", "done", data=server.data)) == 5


def test_python_hl7s_server_acknowledges_what_we_send(tmp_path: Path) -> None:
    port, target = free_port(), free_port()
    config = (
        f'[hl7]\nlisten = true\nport = {port}\n[[hl7.destinations]]\nname = "B"\nhost = "127.0.0.1"\n'
        f'port = {target}\nsends = ["orders"]\n'
    )
    receiver = subprocess.Popen([sys.executable, "-c", RECEIVER, str(target)], stdout=subprocess.PIPE, text=True)
    try:
        with running_server(tmp_path, config=config) as server:
            with Mllp(port) as his:
                his.ask(adt("A04", "4711^^^H^MR||Doe^Jane"))
                for number in ("P1", "P2"):
                    his.ask(orm("NW", number))
                for number in ("P1", "P2"):
                    his.ask(orm("HD", number))
            end = time.monotonic() + 60
            while len(rows := listing("hl7", "list", "out", "--state", "sent", data=server.data)) < 2:
                assert time.monotonic() < end, rows
                time.sleep(0.2)
        assert receiver.stdout is not None
        assert [receiver.stdout.readline().split()[-1] for _ in range(2)] == ["P1", "P2"]
    finally:
        receiver.kill()
        receiver.wait(10)
