"""Acknowledgements (chapter 2.9): MSH, MSA, ERR, for original and enhanced mode.

Theory. In original mode (MSH-15 and MSH-16 empty) one acknowledgement says what became of a message: AA, AE or AR. In
enhanced mode the receiver says at first that it has the message (CA, or CE and CR that it never will; MSH-15 says when
that is wanted) and afterwards what became of it (MSH-16). A message that wants neither gets nothing.

An acknowledgement speaks the version, the delimiters and the character set of the message that it answers. ERR has the
form of the version: since 2.5 one segment for each fault with location, condition and severity, before that one segment
with all of them in ERR-1. What cannot be read as a message at all is answered with AR and a control id of our own
(bad-input row L2): the sender must hear that nothing was taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vesalius.hl7.charsets import encode
from vesalius.hl7.config import UTF_8, Hl7Settings
from vesalius.hl7.faults import Fault
from vesalius.standard.hl7_tables import CONDITION_TEXT, VERSIONS, Ack
from vesalius.wire.hl7_escapes import STANDARD
from vesalius.wire.hl7_message import Field, Message, Place, Raw, Segment, build, repeated

_FALLBACK_VERSION = "2.5.1"
_COMMIT = {Ack.AA: Ack.CA, Ack.AE: Ack.CE, Ack.AR: Ack.CR}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which acknowledgements a message asks for."""

    accept: str  # MSH-15: AL, NE, ER, SU
    application: str  # MSH-16

    @property
    def enhanced(self) -> bool:
        """Whether the message speaks of acknowledgements at all."""
        return bool(self.accept or self.application)

    def commit(self, code: Ack) -> bool:
        """Whether a commit acknowledgement is to be sent. `code`: CA, CE or CR."""
        return self.enhanced and _asks(self.accept, code is Ack.CA)

    def answer(self, code: Ack) -> bool:
        """Whether an application acknowledgement is to be sent. `code`: AA, AE or AR."""
        return not self.enhanced or _asks(self.application, code is Ack.AA)


def _asks(condition: str, success: bool) -> bool:
    # Table 0155. An empty field beside a filled one is "never".
    return condition == "AL" or condition == ("SU" if success else "ER")


def wanted_of(message: Message) -> Wanted:
    """What MSH-15 and MSH-16 ask for."""
    return Wanted(message.msh.value(15).strip().upper(), message.msh.value(16).strip().upper())


def commit_code(code: Ack) -> Ack:
    """CA, CE or CR for AA, AE or AR."""
    return _COMMIT.get(code, code)


def reply(
    message: Message,
    code: Ack,
    faults: Sequence[Fault] = (),
    *,
    settings: Hl7Settings,
    at: str,
    control_id: str,
    charset: str = UTF_8,
    structure: tuple[str, str, str] | None = None,
    extra: Sequence[Segment] = (),
) -> bytes:
    """The acknowledgement of a message, or with `structure` and `extra` the answer to a query.

    `at`: now, UTC. `charset`: what the message was decoded with.
    """
    version = message.msh.value(12).strip()
    version = version if version in VERSIONS else _FALLBACK_VERSION
    kind: Field
    if structure is not None:
        kind = structure
    elif version < "2.3.1":
        kind = "ACK"
    else:
        kind = ("ACK", message.event, "ACK")
    head = header(
        settings,
        kind,
        at=at,
        control_id=control_id,
        version=version,
        processing=message.msh.value(11).strip() or "P",
        to=(_echo(message, 3), _echo(message, 4)),
        of=(_echo(message, 5), _echo(message, 6)),
        charset=charset,
    )
    text = faults[0].text or CONDITION_TEXT[faults[0].condition] if faults else ""
    msa: dict[int, Field] = {1: code.value, 2: message.control_id, 3: text}
    segments = [head, build("MSA", msa), *_errors(faults, version), *extra]
    return encode(Message(segments).text(), charset)[0]


def _echo(message: Message, number: int) -> Raw:
    """Who sent or receives, component by component as it was written, under our delimiters."""
    parts = [message.msh.value(number, component) for component in (1, 2, 3)]
    while parts and not parts[-1]:
        parts.pop()
    return repeated([parts])


def header(
    settings: Hl7Settings,
    kind: Field,
    *,
    at: str,
    control_id: str,
    version: str,
    processing: str = "P",
    to: tuple[Field, Field] = ("", ""),
    of: tuple[Field, Field] = ("", ""),
    charset: str = UTF_8,
) -> Segment:
    """An MSH of ours. `of`: who we are said to be, where the other side said so."""
    fields: dict[int, Field] = {
        1: "",
        2: "",
        3: of[0] or settings.application,
        4: of[1] or settings.facility,
        5: to[0],
        6: to[1],
        7: moment(at),
        9: kind,
        10: control_id,
        11: processing,
        12: version,
    }
    if version >= "2.3.1":
        fields[18] = charset
    return build("MSH", fields)


def moment(at: str) -> str:
    """`2026-11-24T08:12:00.5Z` as a time stamp of HL7 (chapter 2A, TS), which says that it is UTC."""
    digits = "".join(c for c in at[:19] if c.isdigit())
    return f"{digits}+0000"


def _errors(faults: Sequence[Fault], version: str) -> list[Segment]:
    if not faults:
        return []
    if version < "2.5":
        told = [
            (
                *_eld(fault.place),
                (str(int(fault.condition)), CONDITION_TEXT[fault.condition], "HL70357"),
            )
            for fault in faults
        ]
        return [build("ERR", {1: repeated(told)})]
    return [
        build(
            "ERR",
            {
                2: _erl(fault.place),
                3: (str(int(fault.condition)), CONDITION_TEXT[fault.condition], "HL70357"),
                4: "E",
                7: fault.text,
                8: fault.text or CONDITION_TEXT[fault.condition],
            },
        )
        for fault in faults
    ]


def _eld(place: Place | None) -> tuple[str, str, str]:
    if place is None:
        return "", "", ""
    return place.segment, str(place.occurrence), str(place.field) if place.field else ""


def _erl(place: Place | None) -> tuple[str, ...]:
    if place is None:
        return ("",)
    numbers = (place.occurrence, place.field, place.repetition or (1 if place.field else 0), place.component)
    return (place.segment, *(str(number) if number else "" for number in numbers))


def generic(fault: Fault, *, settings: Hl7Settings, at: str, control_id: str, answered: str = "") -> bytes:
    """The answer to what cannot be read as a message. `answered`: a control id that could be made out."""
    head = header(settings, "ACK", at=at, control_id=control_id, version=_FALLBACK_VERSION, charset="ASCII")
    msa = build("MSA", {1: Ack.AR.value, 2: answered, 3: fault.text})
    text = Message([head, msa, *_errors([fault], _FALLBACK_VERSION)], STANDARD).text()
    return encode(text, UTF_8)[0]
