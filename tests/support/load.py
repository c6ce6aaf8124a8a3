"""Instances by the thousand and associations that store them, keeping a ledger of what was promised.

The data sets are one template with other UIDs and other pixels, so that making one costs microseconds and the load
comes from the server. Nothing here shares code with the product.
"""

from __future__ import annotations

import functools
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.support import raw_dicom as raw
from tests.support.generate import ct, part10
from tests.support.ledger import Ledger
from tests.support.raw_peer import Broken, RawScu, Refused

CONTEXTS = [(raw.CT, [raw.EXPLICIT]), (raw.VERIFICATION, [raw.IMPLICIT])]
STUDIES_SHARED = 3  # associations that send into one study, each into a series of its own

_STUDY, _SERIES, _INSTANCE, _FRAME = (f"2.25.{digit * 39}" for digit in "1234")
_PATIENT, _NAME, _ACCESSION = "PATIENT-", "PLACE^HOLDER", "ACCESSIO"
_PIXELS = b"\xa5" * 64


def uid_of(*parts: object) -> str:
    """A UID of 44 characters that depends on the parts alone (PS3.5 B.2)."""
    number = int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:16], "big")
    return f"2.25.{10**38 + number % (2 * 10**38)}"


@dataclass(frozen=True)
class Instance:
    """One instance to be sent, in Explicit VR Little Endian."""

    uid: str
    study: str
    series: str
    patient_id: str
    dataset: bytes

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.dataset).hexdigest()


@functools.lru_cache(maxsize=16)
def _template(size: int) -> bytes:
    side = max(8, int((size / 2) ** 0.5))
    ds = ct(rows=side, columns=side, patient_id=_PATIENT, patient_name=_NAME)
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = _STUDY, _SERIES, _INSTANCE
    ds.FrameOfReferenceUID, ds.AccessionNumber, ds.StudyID = _FRAME, _ACCESSION, "1"
    ds.PixelData = _PIXELS + random.Random(size).randbytes(side * side * 2 - len(_PIXELS))
    file = part10(ds)
    return file[144 + int.from_bytes(file[140:144], "little") :]


def instance(study: object, series: object, number: object, *, size: int = 14_000, seed: object = 0) -> Instance:
    """An instance of `size` bytes of pixels; UIDs follow from the first three, pixels from all."""
    study_uid, series_uid = uid_of("study", study), uid_of("series", study, series)
    instance_uid = uid_of("instance", study, series, number)
    patient_id = hashlib.sha256(repr(("patient", study)).encode()).hexdigest()[:8].upper()
    dataset = _template(size)
    for placeholder, value in (
        (_STUDY, study_uid),
        (_SERIES, series_uid),
        (_INSTANCE, instance_uid),
        (_FRAME, uid_of("frame", study)),
        (_PATIENT, patient_id),
        (_NAME, f"NAME^{patient_id[:7]}"),
        (_ACCESSION, patient_id[::-1]),
    ):
        dataset = dataset.replace(placeholder.encode(), value.encode())
    pixels = hashlib.sha512(repr((study, series, number, seed)).encode()).digest()
    return Instance(instance_uid, study_uid, series_uid, patient_id, dataset.replace(_PIXELS, pixels))


class Sending(threading.Thread):
    """A thread that stores until it is stopped or broken. Whatever it did not expect is in `error`."""

    error: BaseException | None = None

    @property
    def stored(self) -> int:
        """How many instances were acknowledged."""
        raise NotImplementedError


S = TypeVar("S", bound=Sending)


class Sender(Sending):
    """One association that stores instance after instance and writes each promise down before the next request.

    It ends when `stop` is set, when `instances` are used up, or when the association breaks; with `again`, a broken
    association is opened anew. Whatever else goes wrong is in `error`.
    """

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        instances: Iterator[Instance],
        stop: threading.Event | None = None,
        *,
        again: bool = False,
        calling: str = "LOAD",
        timeout: float = 20,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._host = port, host
        self._book = ledger.page()
        self._instances = instances
        self._stop_asked = stop or threading.Event()
        self._again = again
        self._calling = calling
        self._timeout = timeout
        self.statuses: dict[int, int] = {}
        self.broken = 0
        self.refused: list[Refused] = []
        self.slowest = 0.0

    def run(self) -> None:
        try:
            while not self._stop_asked.is_set():
                try:
                    self._associate()
                    return
                except (Broken, OSError):
                    self.broken += 1
                except Refused as refused:
                    self.refused.append(refused)
                if not self._again:
                    return
                self._stop_asked.wait(0.05)
        except BaseException as error:
            self.error = error

    def _associate(self) -> None:
        scu = RawScu.associate(self._port, CONTEXTS, host=self._host, calling=self._calling, timeout=self._timeout)
        try:
            for one in self._instances:
                if self._stop_asked.is_set():
                    break
                self._book.sent(one)
                began = time.monotonic()
                status = scu.store(raw.CT, one.uid, raw.EXPLICIT, one.dataset).status
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == 0:
                    self._book.acknowledged(one)
            scu.release()
        except BaseException:
            scu.close()
            raise

    @property
    def stored(self) -> int:
        return self.statuses.get(0, 0)


def endless(label: object, number: int, *, sizes: Sequence[int] = (14_000,)) -> Iterator[Instance]:
    """Instances of one association: a series of its own in a study that it shares with others."""
    n = 0
    while True:
        n += 1
        yield instance((label, number // STUDIES_SHARED), number, n, size=sizes[n % len(sizes)])


class Senders(Generic[S]):
    """Several senders at once, for the time of a block or until something breaks them."""

    def __init__(self, make: Callable[[int, threading.Event], S], count: int) -> None:
        self.stop_asked = threading.Event()
        self.senders = [make(number, self.stop_asked) for number in range(count)]
        for sender in self.senders:
            sender.start()

    def run(self, seconds: float) -> None:
        """Let it go on."""
        self.stop_asked.wait(seconds)

    def wait_stored(self, count: int, timeout: float = 30) -> None:
        """Until so many instances were acknowledged."""
        end = time.monotonic() + timeout
        while self.stored < count:
            if time.monotonic() > end:
                raise AssertionError(f"{self.stored} of {count} instances stored after {timeout} s")
            time.sleep(0.01)

    def stop(self, timeout: float = 60) -> None:
        """End it; raises what a sender did not expect."""
        self.stop_asked.set()
        for sender in self.senders:
            sender.join(timeout)
            if sender.is_alive():
                raise AssertionError("a sender hangs")
            if sender.error is not None:
                raise sender.error

    @property
    def stored(self) -> int:
        return sum(sender.stored for sender in self.senders)


class Load(Senders[Sender]):
    """Several associations at once."""

    def __init__(
        self,
        port: int,
        ledger: Ledger,
        associations: int,
        label: object = "load",
        *,
        sizes: Sequence[int] = (14_000, 600_000, 3_000),
        make: Callable[[int], Iterator[Instance]] | None = None,
        again: bool = False,
    ) -> None:
        super().__init__(
            lambda n, stop: Sender(
                port,
                ledger,
                make(n) if make is not None else endless(label, n, sizes=sizes),
                stop,
                again=again,
                calling=f"LOAD{n}",
            ),
            associations,
        )

    @property
    def statuses(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for sender in self.senders:
            for status, count in list(sender.statuses.items()):
                found[status] = found.get(status, 0) + count
        return found
