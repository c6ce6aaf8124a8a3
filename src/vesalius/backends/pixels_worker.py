"""The worker process that turns pixels: reads a request from stdin, writes the reply to stdout, again and again.

It is started by `backends/pixels_process.py` as `python -m vesalius.backends.pixels_worker MEMORY CPU LARGEST
REMEMBERED SHARED` and puts its own limits on before it reads a byte: address space, CPU seconds per request (SIGXCPU
ends it), no core files, nothing written to any file. SHARED is the descriptor of the memory that it has in common with
the server; it is as large as it is and cannot grow.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
import zlib
from typing import BinaryIO

import msgspec

from vesalius.backends.pixels_dataset import EXPLICIT, Reader, write
from vesalius.backends.pixels_frame import Frames, encoded, picture
from vesalius.backends.pixels_messages import HEAD, REPLY, SHARED, FrameWork, Operation, Status, Transcoding
from vesalius.backends.pixels_syntaxes import NATIVE
from vesalius.model.errors import VesaliusError
from vesalius.standard.transfer_syntaxes import DEFLATED_LE


def transcode(dataset: bytes, stored: str, wanted: str, largest: int) -> bytes:
    """A data set in another transfer syntax, in this process. Raises `CannotTranscode`."""
    if stored == DEFLATED_LE:
        dataset = _inflated(dataset, largest)
    source = NATIVE.get(stored, EXPLICIT)
    target = NATIVE.get(wanted, EXPLICIT)
    elements = Reader(dataset, source).read()
    if stored not in NATIVE:
        # Codecs are imported where pixels are: an encapsulated syntax on one side.
        from vesalius.backends.pixels_decode import decode_all

        elements = decode_all(elements, stored, largest)
    if wanted not in NATIVE:
        from vesalius.backends.pixels_encode import encode_all

        if not source.little:
            elements = Reader(write(elements, source, EXPLICIT), EXPLICIT).read()
            source = EXPLICIT
        elements = encode_all(elements, wanted, largest)
    result = write(elements, source, target)
    return _deflated(result) if wanted == DEFLATED_LE else result


def _inflated(data: bytes, largest: int) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        result = machine.decompress(data, largest)
    except zlib.error as error:
        raise VesaliusError("the deflated data set is malformed") from error
    if not machine.eof:
        raise VesaliusError("the deflated data set is cut short or would pass the limit")
    return result


def _deflated(data: bytes) -> bytes:
    machine = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    result = machine.compress(data) + machine.flush()
    return result + b"\0" if len(result) & 1 else result  # PS3.5 A.5


class Worker:
    """Answers requests, one after the other."""

    def __init__(self, largest: int, remembered: int) -> None:
        self._largest = largest
        self._frames = Frames(largest, remembered)

    def answer(self, operation: int, arguments: bytes, first: bytes, second: bytes) -> bytes | None:
        """The result; None where the bytes of the frame are needed. Raises what goes wrong."""
        if operation == Operation.TRANSCODE:
            names = msgspec.json.decode(arguments, type=Transcoding)
            return transcode(first, names.stored, names.wanted, self._largest)
        work = msgspec.json.decode(arguments, type=FrameWork)
        said = work.state_length + work.above_length
        frame = self._frames.get(work, first[said:], second)
        if frame is None:
            return None
        if operation == Operation.FRAME:
            return encoded(frame, work.wanted)
        return picture(frame, work, first[: work.state_length], first[work.state_length : said], self._largest)


def serve(source: BinaryIO, sink: BinaryIO, shared: mmap.mmap, cpu_seconds: int, largest: int, remembered: int) -> None:
    """Answer requests until stdin ends."""
    worker = Worker(largest, remembered)
    while head := source.read(HEAD.size):
        operation, arguments_length, first_length, second_length = HEAD.unpack(head)
        arguments = source.read(arguments_length)
        _allow_cpu(cpu_seconds)
        status = Status.DONE
        result: bytes | None
        try:
            if first_length + second_length <= SHARED:
                first = shared[:first_length]
                second = shared[first_length : first_length + second_length]
            else:
                first = source.read(first_length)
                second = source.read(second_length)
            result = worker.answer(operation, arguments, first, second)
            if result is None:
                status, result = Status.MISSING, b""
        except VesaliusError as error:
            status, result = Status.FAILED, error.message.encode()
        except MemoryError:
            status, result = Status.FAILED, b"the decoder ran out of memory"
        except (
            Exception
        ) as error:  # a codec's own error; its text may quote bytes of the image, so only its type is told
            status, result = Status.FAILED, f"the decoder failed: {type(error).__name__}".encode()
        first = second = b""
        if len(result) <= SHARED:
            shared[: len(result)] = result
        sink.write(REPLY.pack(status, len(result)))
        if len(result) > SHARED:
            sink.write(result)
        sink.flush()
        del result


def _allow_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


def main(arguments: list[str]) -> None:
    """Entry point of the process."""
    memory, cpu_seconds, largest, remembered, descriptor = map(int, arguments)
    shared = mmap.mmap(descriptor, SHARED)
    os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer, shared, cpu_seconds, largest, remembered)


if __name__ == "__main__":
    main(sys.argv[1:])
