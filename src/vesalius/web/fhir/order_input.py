"""A ServiceRequest that somebody sends, read strictly: what it asks for, or what is wrong with it.

Theory. What breaks the rules of FHIR is 400; what is well formed but would be done differently here than it says is
422, told with the element. Nothing is repaired in silence: elements that this server does not keep are not in the
answer, and those that would change the meaning of the rest (modifiers: `doNotPerform`, `modifierExtension`, an `intent`
that is no order) are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from vesalius.model.orders import NO_IDENTIFIER, Code, Identifier, Order, Priority
from vesalius.web.fhir import times
from vesalius.web.fhir.mapping_order import PRIORITY_OF
from vesalius.web.fhir.problems import Json, malformed, unfit
from vesalius.web.fhir.terms import AE_TITLE, V2_0203, issuers_of, scheme_of

KIND = "ServiceRequest"
# Every element of the resource (R4 servicerequest.html); what is none of them is refused.
ELEMENTS = frozenset(
    (
        *("resourceType", "id", "meta", "implicitRules", "language", "text", "contained", "extension"),
        *("modifierExtension", "identifier", "instantiatesCanonical", "instantiatesUri", "basedOn", "replaces"),
        *("requisition", "status", "intent", "category", "priority", "doNotPerform", "code", "orderDetail"),
        *("quantityQuantity", "quantityRatio", "quantityRange", "subject", "encounter", "occurrenceDateTime"),
        *("occurrencePeriod", "occurrenceTiming", "asNeededBoolean", "asNeededCodeableConcept", "authoredOn"),
        *("requester", "performerType", "performer", "locationCode", "locationReference", "reasonCode"),
        *("reasonReference", "insurance", "supportingInfo", "specimen", "bodySite", "note", "patientInstruction"),
        "relevantHistory",
    )
)
_INTENTS = frozenset({"order", "original-order", "filler-order", "instance-order"})
_ALL_INTENTS = _INTENTS | {"proposal", "plan", "directive", "reflex-order", "option"}
_STATES = frozenset({"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"})
_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\\\x7f]")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the order is for: a reference, or a number."""

    reference: str = ""
    system: str | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """An order as it was sent."""

    order: Order  # its patient is not known yet
    subject: Subject
    code: Code | None
    description: str
    body_part: str = ""
    comments: str = ""
    start: str = ""  # when it is to be done; "": a person plans it
    station: str = ""  # AE title


def parse(body: bytes) -> Json:
    """The object of a body. Raises `FhirProblem` (400)."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise malformed("", "the body is no JSON") from None
    if not isinstance(found, dict):
        raise malformed("", "the body is no JSON object")
    if found.get("resourceType") != KIND:
        raise malformed("resourceType", f"is not {KIND}")
    return found


def wish(sent: Json) -> Wish:
    """What is asked for. Raises `FhirProblem` (400, 422)."""
    if any(name.lstrip("_") not in ELEMENTS for name in sent):
        raise malformed(KIND, "holds an element that a ServiceRequest does not have")
    _modifiers(sent)
    placer, accession = _numbers(sent)
    code, description = _concept(_object(sent, "code"), f"{KIND}.code")
    if code is None and not description:
        raise unfit(f"{KIND}.code", "an order says what is to be done", code="required")
    reason_code, reason = _first_concept(sent, "reasonCode")
    order = Order(
        patient=0,
        placer=placer,
        accession=accession.value,
        accession_issuer=accession.issuer,
        priority=_priority(sent),
        reason=reason[:64],
        reason_code=reason_code,
        ordering=_text(_object(sent, "requester").get("display"), f"{KIND}.requester.display", 64),
        entered_at=_authored(sent),
        comments="; ".join(_texts(sent, "note"))[:10240],
    )
    body = _first_concept(sent, "bodySite")
    site = next(
        (text for text in (body[0].value if body[0] else "", body[1].upper()) if _CODE_STRING.fullmatch(text)), ""
    )
    details = [
        text for item in _objects(sent, "orderDetail") for text in _concept(item, f"{KIND}.orderDetail")[1:] if text
    ]
    return Wish(
        order, _subject(sent), code, description[:64], site, "; ".join(details)[:64], _start(sent), _station(sent)
    )


def _modifiers(sent: Json) -> None:
    status, intent = str(sent.get("status")), str(sent.get("intent"))
    if status not in _STATES:
        raise malformed(f"{KIND}.status", "is missing or is no status of a request")
    if intent not in _ALL_INTENTS:
        raise malformed(f"{KIND}.intent", "is missing or is no intent of a request")
    if status != "active":
        raise unfit(f"{KIND}.status", "a new order is active")
    if intent not in _INTENTS:
        raise unfit(f"{KIND}.intent", "orders alone are taken, no plans or proposals")
    if sent.get("doNotPerform"):
        raise unfit(f"{KIND}.doNotPerform", "that something shall not be done is no order here")
    for name in ("modifierExtension", "implicitRules"):
        if sent.get(name):
            raise unfit(f"{KIND}.{name}", "is not understood, and may not be ignored")
    if sent.get("replaces"):
        raise unfit(f"{KIND}.replaces", "an order is not replaced here: cancel the old one")


def _numbers(sent: Json) -> tuple[Identifier, Identifier]:
    """Placer's number and accession number."""
    found: dict[str, Identifier] = {}
    for item in _objects(sent, "identifier"):
        where = f"{KIND}.identifier"
        value = _text(item.get("value"), f"{where}.value", 64)
        if not value:
            raise malformed(f"{where}.value", "an identifier has a value")
        kinds = {
            str(coding.get("code"))
            for coding in _objects(_object(item, "type"), "coding")
            if coding.get("system") in (V2_0203, None)
        }
        kind = next((one for one in ("PLAC", "ACSN", "FILL") if one in kinds), "PLAC")
        if kind == "FILL":
            raise unfit(where, "filler numbers are given here")
        if kind in found:
            raise unfit(where, "more than one number of one kind; give the others a type that is not PLAC or ACSN")
        found[kind] = Identifier(value, issuers_of(_text(item.get("system"), f"{where}.system", 256))[0])
    accession = found.get("ACSN", NO_IDENTIFIER)
    if len(accession.value) > 16:
        raise unfit(f"{KIND}.identifier", "an accession number has at most 16 characters (PS3.5 6.2, SH)")
    return found.get("PLAC", NO_IDENTIFIER), accession


def _priority(sent: Json) -> Priority:
    given = sent.get("priority", "routine")
    if not isinstance(given, str) or given not in PRIORITY_OF:
        raise malformed(f"{KIND}.priority", "is routine, urgent, asap or stat")
    return PRIORITY_OF[given]


def _subject(sent: Json) -> Subject:
    subject = _object(sent, "subject")
    where = f"{KIND}.subject"
    reference = _text(subject.get("reference"), f"{where}.reference", 2048)
    if reference.startswith("#"):
        raise unfit(where, "contained patients are not taken: refer to one that is known here")
    number = _object(subject, "identifier")
    value = _text(number.get("value"), f"{where}.identifier.value", 64)
    if not reference and not value:
        raise malformed(where, "names nobody: a reference or an identifier")
    system = number.get("system")
    return Subject(reference, _text(system, f"{where}.identifier.system", 256) if system is not None else None, value)


def _authored(sent: Json) -> str:
    text = _text(sent.get("authoredOn"), f"{KIND}.authoredOn", 64)
    return times.utc(_span(text, "authoredOn").begin) if text else ""


def _start(sent: Json) -> str:
    text = _text(sent.get("occurrenceDateTime"), f"{KIND}.occurrenceDateTime", 64)
    name = "occurrenceDateTime"
    if not text:
        name = "occurrencePeriod"
        text = _text(_object(sent, name).get("start"), f"{KIND}.{name}.start", 64)
    if sent.get("occurrenceTiming"):
        raise unfit(f"{KIND}.occurrenceTiming", "what is done again and again is not planned here")
    if not text:
        return ""
    span = _span(text, name)
    if span.is_date:
        raise unfit(f"{KIND}.{name}", "a time of day is needed to plan it; without any time a person plans it")
    return times.stamp(span.begin)


def _station(sent: Json) -> str:
    for item in _objects(sent, "performer"):
        number = _object(item, "identifier")
        if number.get("system") == AE_TITLE:
            return _text(number.get("value"), f"{KIND}.performer.identifier.value", 16)
    return ""


def _span(text: str, name: str) -> times.Span:
    try:
        return times.read(text)
    except (ValueError, OverflowError):
        raise malformed(f"{KIND}.{name}", "is no dateTime") from None


def _first_concept(sent: Json, name: str) -> tuple[Code | None, str]:
    items = _objects(sent, name)
    return _concept(items[0], f"{KIND}.{name}") if items else (None, "")


def _concept(item: Json, where: str) -> tuple[Code | None, str]:
    """The first coding and the text of a CodeableConcept."""
    text = _text(item.get("text"), f"{where}.text", 1024)
    for coding in _objects(item, "coding"):
        value = _text(coding.get("code"), f"{where}.coding.code", 64)
        if not value:
            continue
        display = _text(coding.get("display"), f"{where}.coding.display", 1024)
        scheme = scheme_of(_text(coding.get("system"), f"{where}.coding.system", 256))
        return Code(value, scheme, (display or text)[:64]), text or display or value
    return None, text


def _texts(sent: Json, name: str) -> list[str]:
    return [found for item in _objects(sent, name) if (found := _text(item.get("text"), f"{KIND}.{name}.text", 4096))]


def _text(value: Any, where: str, most: int) -> str:
    """A string. Raises `FhirProblem`: 400 for what is none, 422 for what cannot be kept."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(where, "is no string")
    text = " ".join(value.split())
    if len(text) > most:
        raise unfit(where, f"is longer than {most} characters", code="too-long")
    if _CONTROL.search(text):
        raise unfit(where, "holds a control character or a backslash")
    return text


def _object(sent: Json, name: str) -> Json:
    value: Any = sent.get(name, {})
    if not isinstance(value, dict):
        raise malformed(name, "is no object")
    return value


def _objects(sent: Json, name: str) -> list[Json]:
    value: Any = sent.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise malformed(name, "is no array of objects")
    return value
