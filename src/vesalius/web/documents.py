"""Rendered documents (PS3.18 8.7.4): structured reports as text, encapsulated documents as what they are.

A structured report or key object selection is a page (text/html) or plain text. An encapsulated document (PS3.3 A.45)
is its own rendering, under the media type of its SOP class, whatever type the instance claims: it comes from
strangers, so it is sent with a policy that lets nothing in it run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from vesalius.model.content_tree import Document, is_document, read_document, references_of
from vesalius.model.element_places import find_value
from vesalius.model.elements import Header, HeaderLimits, read_header
from vesalius.model.encodings import mode_of
from vesalius.model.entities import Level, StoredInstance
from vesalius.model.errors import CannotTranscode, VesaliusError
from vesalius.standard.transfer_syntaxes import lookup
from vesalius.web.answers import answer
from vesalius.web.context import WebContext
from vesalius.web.document_page import POLICY, Place, page
from vesalius.web.document_text import plain_text
from vesalius.web.negotiation import MediaType, choose
from vesalius.web.streaming import Streamed

HTML, TEXT, PDF, XML = "text/html", "text/plain", "application/pdf", "text/xml"
# Encapsulated PDF, CDA, STL, OBJ, MTL.
ENCAPSULATED = {
    f"1.2.840.10008.5.1.4.1.1.104.{number}": kind
    for number, kind in ((1, PDF), (2, XML), (3, "model/stl"), (4, "model/obj"), (5, "model/mtl"))
}
DOCUMENT = 0x00420011
PIECE = 1 << 20  # bytes of an encapsulated document that are read at once
LIMITS = HeaderLimits(value_bytes=4 << 20, sequence_bytes=16 << 20)
LINKED = 2000  # references that are looked up; further ones are told by their UID
HARMLESS = {"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'self'"}


def is_readable(sop_class: str) -> bool:
    """Whether instances of a SOP class are documents that can be rendered."""
    return is_document(sop_class) or sop_class in ENCAPSULATED


def offers(sop_class: str) -> tuple[str, ...]:
    """The media types that a document can be rendered as, the default first."""
    return (HTML, TEXT) if is_document(sop_class) else (ENCAPSULATED[sop_class],)


@dataclass(frozen=True, slots=True)
class Documents:
    """Renders documents. Everything blocks."""

    ctx: WebContext

    def respond(self, request: Request, instance: StoredInstance, ranges: Sequence[MediaType]) -> Response:
        """The document in the form that the client likes best. Raises `Problem` (406), `CannotTranscode`."""
        kind = choose(ranges, offers(instance.sop_class))
        if instance.sop_class in ENCAPSULATED:
            return self._encapsulated(instance, kind)
        header, document = self._read(instance)
        places = self._places(self.ctx.dicom_web_url(request), document)
        if kind == TEXT:
            return answer(request, plain_text(header, document, places.get), f"{TEXT}; charset=utf-8")
        body = page(header, document, places.get, self.ctx.view.version)
        return answer(request, body, f"{HTML}; charset=utf-8", headers={"Content-Security-Policy": POLICY})

    def _read(self, instance: StoredInstance) -> tuple[Header, Document]:
        source = self.ctx.frames.state(instance)
        header = read_header(source.dataset, source.transfer_syntax, LIMITS)
        try:
            return header, read_document(header)
        except VesaliusError as error:
            raise CannotTranscode(f"the document cannot be read: {error.message}") from error

    def _places(self, root: str, document: Document) -> dict[str, Place]:
        """Where the instances that a document names are kept: SOP Instance UID -> its place."""
        wanted = dict.fromkeys(document.predecessors)
        for each in references_of(document.root):
            wanted |= dict.fromkeys((each.sop_instance, *each.states))
        uids = tuple(wanted)[:LINKED]
        found = {}
        for at in range(0, len(uids), 200):
            for one in self.ctx.index.select(Level.IMAGE, instances=uids[at : at + 200]):
                address = f"{root}/studies/{one.study}/series/{one.series}/instances/{one.sop_instance}"
                found[one.sop_instance] = Place(address, one.pixels is not None, is_readable(one.sop_class))
        return found

    def _encapsulated(self, instance: StoredInstance, kind: str) -> Response:
        member = instance.member
        syntax = lookup(instance.transfer_syntax)
        mode = mode_of(syntax.explicit, syntax.little_endian)
        read = partial(self.ctx.blobs.read, member)
        place = None if syntax.deflated else find_value(read, member.dataset_length, mode, (DOCUMENT,))
        if place is None:
            raise CannotTranscode("the document cannot be found in its instance")
        pieces = (read(place.offset + at, min(PIECE, place.length - at)) for at in range(0, place.length, PIECE))
        # Whatever somebody put into it is not opened on this origin.
        headers = {**HARMLESS, "Content-Disposition": "attachment"}
        return Streamed(self.ctx, pieces, kind, length=place.length, headers=headers)
