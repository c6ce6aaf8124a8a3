"""STOW-RS connections that store requests of all sizes, keeping the same ledger as the associations of `load.py`.

A request names its instances in the ledger before it is sent; what its answer names as stored is a promise. Bodies and
file meta information are written by hand: nothing here shares code with the product.
"""

from __future__ import annotations

import http.client
import itertools
import struct
import threading
from collections.abc import Iterator, Sequence

from tests.support import raw_dicom as raw
from tests.support.ledger import Ledger
from tests.support.load import Instance, Senders, Sending, endless
from tests.support.stow import failed, stored

BOUNDARY = "a-boundary-of-the-load"
# One alone, a few, as many as a viewer sends, more than wait for their commit at once.
REQUESTS = (1, 3, 20, 80)


def part10(one: Instance) -> bytes:
    """A file (PS3.10 7.1)."""
    meta = b"".join(
        (
            struct.pack("<HH2sHIH", 2, 1, b"OB", 0, 2, 0x0100),
            _element(0x0002, raw.CT),
            _element(0x0003, one.uid),
            _element(0x0010, raw.EXPLICIT),
            _element(0x0012, "2.25.77"),
        )
    )
    return bytes(128) + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta)) + meta + one.dataset


def _element(element: int, uid: str) -> bytes:
    value = uid.encode() + b"\0" * (len(uid) % 2)
    return struct.pack("<HH2sH", 2, element, b"UI", len(value)) + value


def body_of(instances: Sequence[Instance]) -> bytes:
    """A multipart/related body (PS3.18 8.6.1.2.1)."""
    head = f"\r\n--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part10(one) for one in instances) + f"\r\n--{BOUNDARY}--\r\n".encode()


class StowSender(Sending):
    """One connection that sends request after request until it is stopped or the connection breaks."""

    def __init__(self, port: int, ledger: Ledger, instances: Iterator[Instance], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._book = ledger.page()
        self._instances = instances
        self._stop_asked = stop
        self._stored = 0
        self.requests = 0
        self.broken = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            for count in itertools.cycle(REQUESTS):
                if self._stop_asked.is_set():
                    break
                self._send(connection, list(itertools.islice(self._instances, count)))
        except (OSError, http.client.HTTPException):
            self.broken += 1
        except BaseException as error:
            self.error = error
        finally:
            connection.close()

    def _send(self, connection: http.client.HTTPConnection, batch: list[Instance]) -> None:
        for one in batch:
            self._book.sent(one)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
            "Accept": "application/dicom+json",
        }
        connection.request("POST", "/dicom-web/studies", body_of(batch), headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status not in (200, 202, 409, 503):
            raise AssertionError(f"status {answer.status}: {data[:500]!r}")
        by_uid = {one.uid: one for one in batch}
        named = stored(data) if answer.status in (200, 202) else set()
        if answer.status == 200 and (named != set(by_uid) or failed(data)):
            raise AssertionError("200 says that everything is stored")
        for uid in named:
            self._book.acknowledged(by_uid[uid])
        self._stored += len(named)
        self.requests += 1

    @property
    def stored(self) -> int:
        return self._stored


class StowLoad(Senders[StowSender]):
    """Several connections at once."""

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        connections: int,
        label: object = "stow",
        *,
        sizes: Sequence[int] = (14_000, 600_000, 3_000, 40_000, 1_500_000),
    ) -> None:
        super().__init__(
            lambda n, stop: StowSender(port, ledger, endless(("stow", label), n, sizes=sizes), stop), connections
        )
