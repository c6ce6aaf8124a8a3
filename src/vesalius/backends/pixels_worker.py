"""The worker process that turns pixels: reads a data set from stdin, writes the result to stdout, again and again.

It is started by `backends/pixels_codecs.py` as `python -m vesalius.backends.pixels_worker MEMORY CPU LARGEST` and puts
its own limits on before it reads a byte: address space, CPU seconds per data set (SIGXCPU ends it), no core files.
"""

from __future__ import annotations

import resource
import sys
import zlib
from typing import BinaryIO

from vesalius.backends.pixels_codecs import REPLY, REQUEST
from vesalius.backends.pixels_dataset import EXPLICIT, Reader, write
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


def serve(source: BinaryIO, sink: BinaryIO, cpu_seconds: int, largest: int) -> None:
    """Answer requests until stdin ends."""
    while head := source.read(REQUEST.size):
        stored_length, wanted_length, length = REQUEST.unpack(head)
        stored = source.read(stored_length).decode("ascii")
        wanted = source.read(wanted_length).decode("ascii")
        _allow_cpu(cpu_seconds)
        status = 0
        try:
            result = transcode(source.read(length), stored, wanted, largest)
        except VesaliusError as error:
            status, result = 1, error.message.encode()
        except MemoryError:
            status, result = 1, b"the decoder ran out of memory"
        except (
            Exception
        ) as error:  # a codec's own error; its text may quote bytes of the image, so only its type is told
            status, result = 1, f"the decoder failed: {type(error).__name__}".encode()
        sink.write(REPLY.pack(status, len(result)))
        sink.write(result)
        sink.flush()
        del result


def _allow_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


def main(arguments: list[str]) -> None:
    """Entry point of the process."""
    memory, cpu_seconds, largest = map(int, arguments)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    serve(sys.stdin.buffer, sys.stdout.buffer, cpu_seconds, largest)


if __name__ == "__main__":
    main(sys.argv[1:])
