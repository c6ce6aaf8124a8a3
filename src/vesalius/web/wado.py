"""WADO-RS of studies, series and instances (PS3.18 10.4.1.1.1): DICOM files in multipart/related or a ZIP archive.

Theory. Which instances cannot be given in a form that the client takes is known before a byte is read: none at all is
406, some is 206 with a Warning that counts them. The first instances are read and their digests compared before the
status goes out, so that damage is answered properly where it is found in time; a damaged instance met later breaks
the transfer off (a 200 with a silent hole would be a lie), is remembered, and the next request for it is a
206 without it. Bodies are made while they are sent and never whole in memory; for a client that is quick the instances
that follow are read and verified, or turned, beside each other.

Files begin with a preamble of zeros whatever was sent to us (threat T6). Where every instance goes out as it is
stored the length of the answer is known and said.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vesalius.archive.retrieve import Payload
from vesalius.model.entities import Claim, StoredInstance
from vesalius.model.errors import CannotTranscode, DamagedInstance
from vesalius.model.file_meta import file_prefix
from vesalius.web.buffers import Buffers
from vesalius.web.context import WebContext
from vesalius.web.multipart_out import Multipart, content_type
from vesalius.web.negotiation import DICOM, accepted
from vesalius.web.resources import LEVELS, Target, select, target_of
from vesalius.web.streaming import MESSAGE, Pace, Streamed
from vesalius.web.transfer import Container, Form, form_of
from vesalius.web.zip_out import zipped

WHOLE = 4 << 20  # bytes; a larger data set is hashed first and then read in chunks
AHEAD = 256 << 10  # bytes read and verified before the status goes out; every waiting reader holds them
AT_ONCE = 3  # instances that are read and verified, or turned, beside each other, for a client that is quick
REMEMBERED = 10_000  # damaged instances


@dataclass(frozen=True, slots=True)
class _Planned:
    """An instance and the transfer syntax in which it goes out."""

    instance: StoredInstance
    syntax: str
    prefix: bytes  # of the file

    @property
    def as_stored(self) -> bool:
        return self.syntax == self.instance.transfer_syntax and not self.instance.coerced


@dataclass(slots=True)
class Damaged:
    """The instances that were found damaged by this process. Thread-safe."""

    digests: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, instance: StoredInstance) -> None:
        """Remember one."""
        with self.lock:
            if len(self.digests) < REMEMBERED:
                self.digests.add(instance.member.sha256)

    def discard(self, instance: StoredInstance) -> None:
        """It is whole again."""
        with self.lock:
            self.digests.discard(instance.member.sha256)


@dataclass(frozen=True, slots=True)
class Wado:
    """Gives instances. One for a process."""

    ctx: WebContext
    damaged: Damaged = field(default_factory=Damaged)
    # Reads what an answer needs next, and waits for no other thread: those of the context's pools wait for these.
    buffers: Buffers = field(default_factory=Buffers)
    ahead: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(os.cpu_count() or 1, "ahead"))

    async def respond(self, request: Request, target: Target) -> Response:
        """Answer a request. Raises `Problem`, `IndexUnavailable`, `CannotTranscode`, `DamagedInstance`."""
        form = form_of(accepted(request), single=target.instance is not None)
        instances = await self.ctx.call(select, self.ctx, target)
        return await self.give(instances, form)

    async def give(self, instances: Sequence[StoredInstance], form: Form) -> Response:
        """Answer with these instances. Raises as `respond`."""
        plans, refused = self._plan(instances, form)
        heavy = not all(plan.as_stored for plan in plans)
        prepared = await (self.ctx.heavy if heavy else self.ctx.call)(Prepared.of, self, plans, refused)
        return self.answer(prepared, form, heavy=heavy)

    def answer(self, prepared: Prepared, form: Form, *, heavy: bool) -> Response:
        """The response to what was prepared."""
        headers = {}
        status = 200
        if missing := len(prepared.missing):
            status = 206
            headers["Warning"] = (
                f'299 {self.ctx.view.service}: "{missing} of {missing + len(prepared.plans)} instances '
                f'could not be delivered"'
            )
        if form.container is Container.ZIP:
            headers["Content-Disposition"] = 'attachment; filename="study.zip"'
            return Streamed(self.ctx, prepared.zipped(), "application/zip", status=status, headers=headers, heavy=heavy)
        if form.container is Container.SINGLE:
            syntax = prepared.plans[0].syntax
            return Streamed(
                self.ctx,
                prepared.files(),
                f"{DICOM}; transfer-syntax={syntax}",
                status=status,
                headers=headers,
                length=prepared.length(None),
                heavy=heavy,
            )
        frame = Multipart(DICOM)
        return Streamed(
            self.ctx,
            prepared.parts(frame),
            frame.content_type,
            status=status,
            headers=headers,
            length=prepared.length(frame),
            heavy=heavy,
            buffers=self.buffers,
        )

    def _plan(
        self, instances: Sequence[StoredInstance], form: Form
    ) -> tuple[list[_Planned], list[tuple[StoredInstance, str]]]:
        """How every instance goes out, and which cannot. Raises `CannotTranscode` (406) where none can."""
        plans: list[_Planned] = []
        refused: list[tuple[StoredInstance, str]] = []
        for instance in instances:
            syntax = form.syntax_for(instance, self.ctx.retrieve.can)
            if syntax is None:
                refused.append((instance, "no codec for an accepted transfer syntax"))
                continue
            claim = Claim(instance.sop_class, instance.sop_instance, syntax)
            plans.append(_Planned(instance, syntax, file_prefix(claim)))
        if not plans:
            raise CannotTranscode(
                "nothing of this can be given in a transfer syntax that the client accepts",
                hint="Accept transfer-syntax=* for the form in which it is stored.",
            )
        return plans, refused


class Prepared:
    """Instances on their way out: the first are read, the others follow when it is their turn."""

    def __init__(self, wado: Wado, missing: list[tuple[StoredInstance, str]]) -> None:
        self._wado = wado
        self.plans: list[_Planned] = []  # what is going to be sent
        self.missing = missing  # what is not, and why
        self._read: deque[tuple[_Planned, Payload, bytes]] = deque()

    @classmethod
    def of(cls, wado: Wado, plans: list[_Planned], refused: list[tuple[StoredInstance, str]]) -> Prepared:
        """Leave out what is known as damaged, and read the first. Raises `DamagedInstance`, `CannotTranscode`."""
        prepared = cls(wado, refused)
        ahead = 0
        error: CannotTranscode | DamagedInstance | None = None
        for plan in plans:
            if ahead < AHEAD or plan.instance.member.sha256 in wado.damaged.digests:
                try:
                    payload, first = prepared._open(plan)
                except (CannotTranscode, DamagedInstance) as found:
                    error = found
                    prepared.missing.append((plan.instance, found.message))
                    continue
                if len(prepared._read) == len(prepared.plans):
                    prepared._read.append((plan, payload, first))
                    ahead += len(first)
            prepared.plans.append(plan)
        if not prepared.plans and error is not None:
            raise error
        return prepared

    def length(self, frame: Multipart | None) -> int | None:
        """Bytes of the whole answer; None where an instance has yet to be turned."""
        if not all(plan.as_stored for plan in self.plans):
            return None
        files = [len(plan.prefix) + plan.instance.member.dataset_length for plan in self.plans]
        if frame is None:
            return sum(files)
        fields = [len(_fields(plan)) for plan in self.plans]
        around = frame.size(b"", 0)
        return sum(files) + sum(fields) + around * len(files) + len(frame.end)

    def files(self) -> Iterator[bytes]:
        """The files, one after the other."""
        return (piece for _, pieces in self._opened() for piece in pieces)

    def parts(self, frame: Multipart) -> Iterator[bytes | bytearray]:
        """The files as parts."""
        if all(plan.as_stored and plan.instance.member.dataset_length <= WHOLE for plan in self.plans):
            return self._packed(frame)
        return frame.pieces((_fields(plan), pieces) for plan, pieces in self._opened())

    def _packed(self, frame: Multipart) -> Iterator[bytes | bytearray]:
        """The same of small files as they are stored; for a quick client some at a time, read to where they go out."""
        left = deque(self.plans)
        pace = Pace()
        while left:
            pace.give()
            if pace.quick and not self._read:
                body = self._message(frame, left)
                size = len(body)
                yield body
                del body
            else:
                plan = left.popleft()
                first = self._read.popleft()[2] if self._read and self._read[0][0] is plan else self._open(plan)[1]
                yield frame.head(_fields(plan)) + plan.prefix
                size = len(first)
                yield first
                del first
                yield b"\r\n"
            pace.taken(size)
        yield frame.end

    def _message(self, frame: Multipart, left: deque[_Planned]) -> bytearray:
        """Some of the files that are left, as parts, in one piece of memory. Raises `DamagedInstance`."""
        places: list[tuple[_Planned, bytes, int]] = []  # with its head, and where that begins
        size = 0
        while left and size < MESSAGE:
            plan = left.popleft()
            head = frame.head(_fields(plan)) + plan.prefix
            places.append((plan, head, size))
            size += len(head) + plan.instance.member.dataset_length + 2
        body = self._wado.buffers.take(size)
        with memoryview(body) as whole:
            reading = []
            for plan, head, at in places:
                start = at + len(head)
                end = start + plan.instance.member.dataset_length
                body[at:start] = head
                body[end : end + 2] = b"\r\n"
                reading.append(self._wado.ahead.submit(self._read_into, plan, whole[start:end]))
            wait(reading)
        for one in reading:
            one.result()
        return body

    def _read_into(self, plan: _Planned, into: memoryview) -> None:
        try:
            with into:
                self._wado.ctx.blobs.read_verified_into(plan.instance.member, into)
        except DamagedInstance:
            self._wado.damaged.add(plan.instance)
            raise
        self._wado.damaged.discard(plan.instance)

    def zipped(self) -> Iterator[bytes]:
        """The files in a ZIP archive."""
        syntaxes = {plan.instance.sop_instance: plan for plan in self.plans}
        self._read.clear()

        def payload(instance: StoredInstance) -> Payload:
            opened, first = self._open(syntaxes[instance.sop_instance])
            return Payload(opened.transfer_syntax, opened.length, chain((first,), opened.chunks))

        return zipped((plan.instance for plan in self.plans), payload, self.missing)

    def _opened(self) -> Iterator[tuple[_Planned, Iterator[bytes]]]:
        """Every instance and the pieces of its file; what has been sent is not held."""
        ahead: deque[Future[tuple[Payload, bytes]]] = deque()
        pace = Pace()
        try:
            for number, plan in enumerate(self.plans):
                if self._read and self._read[0][0] is plan:
                    _, payload, first = self._read.popleft()
                elif ahead:
                    payload, first = ahead.popleft().result()
                else:
                    payload, first = self._open(plan)
                if pace.quick and not self._read:
                    for following in self.plans[number + 1 + len(ahead) : number + 1 + AT_ONCE]:
                        ahead.append(self._wado.ahead.submit(self._open, following))
                pieces = chain((plan.prefix, first), payload.chunks)
                del payload, first
                pace.give()
                yield plan, pieces
                pace.taken(plan.instance.member.dataset_length)
        finally:
            for future in ahead:
                future.cancel()

    def _open(self, plan: _Planned) -> tuple[Payload, bytes]:
        """An instance ready to be sent: its first chunk has been read, so its digest has been compared."""
        try:
            payload = self._wado.ctx.retrieve.turned(plan.instance, plan.syntax, whole=WHOLE)
            first = next(payload.chunks, b"")
        except DamagedInstance:
            self._wado.damaged.add(plan.instance)
            raise
        self._wado.damaged.discard(plan.instance)
        return payload, first


def _fields(plan: _Planned) -> bytes:
    return content_type(f"{DICOM}; transfer-syntax={plan.syntax}")


def routes(ctx: WebContext) -> list[Route]:
    """Study, series and instance."""
    wado = Wado(ctx)

    async def give(request: Request) -> Response:
        return await wado.respond(request, target_of(request))

    return [Route(path, give, methods=["GET"]) for path, _ in LEVELS]
