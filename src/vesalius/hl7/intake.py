"""From the bytes of one message to its acknowledgement: who sent it, is it whole, was it seen before, what does it do.

Theory. The order of the steps is the promise (bad-input rows L2 to L13):

1. head: delimiters, sender, control id. What is no message is answered AR; what nobody we know sent is answered AR and
   kept nowhere.
2. form: character set, segments, limits, type, event, version, processing id, the segments that must be there. A fault
   is answered and kept in the log.
3. inbox: the message is durable before anything is said of it. One that was accepted before gets the same answer again;
   another one under its control id is refused (205) and reported.
4. effect: the verbs of the workflow and the word "done" in one transaction, so nothing is done twice or by half.
5. answer.

In enhanced mode the commit acknowledgement goes out between 3 and 4; a message whose sender has one is processed even
if this process dies (`Intake.recover`), before younger ones of its source. In original mode the sender has heard
nothing and sends again. Whatever a step raises is an answer: no message ends the listener.

Everything here blocks. Logs name the source, the number in the message log and a known type,
never what a message says: in a broken one a name may stand anywhere, even in place of the control id.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from vesalius.hl7 import charsets, replies
from vesalius.hl7.checks import check
from vesalius.hl7.config import ANYBODY, UTF_8, Caller, Hl7Settings, Source, source_of
from vesalius.hl7.context import Context, Handler, Outcome
from vesalius.hl7.faults import Fault, fault_of
from vesalius.hl7.mapping import FieldMap
from vesalius.hl7.raw import HEAD_BYTES, digest_of
from vesalius.hl7.replies import Wanted, commit_code, wanted_of
from vesalius.model.orders import By
from vesalius.ports.clock import Clock
from vesalius.ports.hl7 import Arrival, Hl7Log, Incoming, InState, Known, Verdict
from vesalius.ports.ris import RisWork
from vesalius.ris.rules import RisRules
from vesalius.standard.hl7_tables import MESSAGE_OF, Ack, Condition
from vesalius.wire.hl7_message import BadMessage, Message, Place, delimiters_of, parse

log = structlog.get_logger()

_TRIES = 12  # of a message that fails by our fault: more than an hour
_LONGEST_WAIT = 600.0  # between two tries of a message that fails by our fault


@dataclass(frozen=True, slots=True)
class Head:
    """What can be told of a message before it is decoded."""

    source: Source
    application: str
    facility: str
    control_id: str
    charsets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A message that is in the inbox and ours to process."""

    row: int
    source: Source
    message: Message
    charset: str
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Accepted:
    """What to send at once, and what is still to be done; `busy`: another process has the message in hand."""

    replies: tuple[bytes, ...] = ()
    work: Work | None = None
    busy: bool = False


class Intake:
    """One per process; thread-safe."""

    def __init__(
        self,
        settings: Hl7Settings,
        inbox: Hl7Log,
        clock: Clock,
        rules: RisRules,
        handlers: Mapping[tuple[str, str], Handler],
        *,
        owner: str = "",
        announce: Callable[[], None] = lambda: None,
        observe: Callable[[str, str], None] = lambda source, what: None,
    ) -> None:
        """`announce` is called after something has changed, to wake those who follow the workflow.

        `observe` is told the name of a source ("" where it is not known) and what became of a message of it: "done",
        "again" (it was done before), "refused", "put-back" (to be tried again), "no-message", "unknown-sender".
        """
        self.settings = settings
        self._inbox = inbox
        self._clock = clock
        self._rules = rules
        self._handlers = handlers
        self._owner = owner or f"hl7-{uuid.uuid4().hex}"
        self._announce = announce
        self._observe = observe
        self._maps = {source.name: FieldMap(source.fields) for source in (*settings.sources, ANYBODY)}

    # -- steps 1 to 3

    def accept(self, raw: bytes, caller: Caller) -> Accepted:
        """Take a message: what to answer at once, and what is to be processed. Never raises."""
        try:
            return self._accept(raw, caller)
        except Exception as error:
            fault = fault_of(error)
            if not isinstance(error, BadMessage):
                self._report(error, "hl7-accept-failed")
            return Accepted((self._generic(fault),))

    def _accept(self, raw: bytes, caller: Caller) -> Accepted:
        try:
            head = self._head(raw, caller)
        except BadMessage as error:
            self._observe("", "no-message")
            log.info("hl7-no-message", peer=caller.address, why=error.text)
            return Accepted((self._generic(fault_of(error)),))
        if head is None:
            self._observe("", "unknown-sender")
            log.warning("hl7-unknown-sender", peer=caller.address)
            fault = Fault(Condition.UNSUPPORTED_MESSAGE_TYPE, Place("MSH", 1, 3), "this sender is not known here")
            return Accepted((self._generic(fault),))
        arrival = self._arrival(raw, head, caller)
        charset = head.charsets[0] if head.charsets and head.charsets[0] else head.source.charset
        try:
            message = parse(charsets.decode(raw, head.charsets, head.source.charset), self.settings.limits)
        except BadMessage as error:
            # What cannot be read gets its answer under what could be read of its header.
            bare = self._bare(raw)
            return self._refused(arrival, bare, [fault_of(error)], UTF_8)
        faults = check(message, self.settings)
        arrival = replace(arrival, type=f"{message.type}^{message.event}")
        if faults:
            return self._refused(arrival, message, faults, charset)
        return self._keep(arrival, message, head.source, charset)

    def _head(self, raw: bytes, caller: Caller) -> Head | None:
        """None: nobody that we know. Raises `BadMessage` for what is no message."""
        text = raw[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n ").decode("latin_1")
        delimiters = delimiters_of(text)
        line = re.split(r"[\r\n]", text, maxsplit=1)[0]
        fields = ["MSH", *line[3:].split(delimiters.field)[1:]]

        def field(number: int) -> str:
            found = fields[number - 1] if number <= len(fields) else ""
            return found.split(delimiters.component)[0].strip()

        source = source_of(self.settings, field(3), field(4), caller.address)
        if source is None:
            return None
        declared = fields[17].split(delimiters.repetition) if len(fields) > 17 else []
        return Head(source, field(3), field(4), field(10), tuple(one.strip() for one in declared))

    def _arrival(self, raw: bytes, head: Head, caller: Caller) -> Arrival:
        return Arrival(
            source=head.source.name,
            application=head.application,
            facility=head.facility,
            control_id=head.control_id[:200],
            type="",
            address=caller.address,
            at=self._clock.utc(),
            digest=digest_of(raw),
            message=raw,
        )

    def _bare(self, raw: bytes) -> Message:
        """The header of a message that cannot be read, for its answer."""
        text = raw[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n ")
        line = re.split(rb"[\r\n]", text, maxsplit=1)[0].decode("ascii", "replace").replace("\ufffd", "?")
        return parse(re.sub(r"[\x00-\x1f]", " ", line))

    def _refused(self, arrival: Arrival, message: Message, faults: list[Fault], charset: str) -> Accepted:
        code = Ack.AR if any(fault.code is Ack.AR for fault in faults) else Ack.AE
        answer = self._reply(message, code, faults, charset)
        row = self._inbox.refuse(arrival, Verdict(InState.REFUSED, code.value, str(faults[0]), answer))
        self._observe(arrival.source, "refused")
        log.info("hl7-refused", source=arrival.source, message=f"in:{row}", type=_kind(message), code=code.value,
                 why=str(faults[0]))  # fmt: skip
        wanted = wanted_of(message)
        if not wanted.enhanced:
            return Accepted((answer,))
        commit = commit_code(code)
        return Accepted((self._reply(message, commit, faults, charset),) if wanted.commit(commit) else ())

    def _keep(self, arrival: Arrival, message: Message, source: Source, charset: str) -> Accepted:
        wanted = wanted_of(message)
        state = InState.ACCEPTED if wanted.enhanced else InState.RECEIVED
        receipt = self._inbox.receive(arrival, self._owner, self._later(self.settings.lease_seconds), state)
        commit = (self._reply(message, Ack.CA, (), charset),) if wanted.commit(Ack.CA) else ()
        if receipt.known is Known.OTHER:
            log.warning("hl7-control-id-reused", source=source.name, message=f"in:{receipt.row.id}",
                        hint="two messages with one control id: the sender's numbering is broken")  # fmt: skip
            fault = Fault(Condition.DUPLICATE_KEY, Place("MSH", 1, 10), "this control id stands for another message")
            return self._refused(arrival, message, [fault], charset)
        if receipt.known is Known.DONE:
            self._observe(source.name, "again")
            log.info("hl7-again", source=source.name, message=f"in:{receipt.row.id}")
            answer = (receipt.row.ack,) if wanted.answer(Ack.AA) and receipt.row.ack else ()
            return Accepted((*commit, *answer))
        if receipt.known is Known.BUSY:
            return Accepted(commit, busy=not wanted.enhanced)
        return Accepted(commit, Work(receipt.row.id, source, message, charset, wanted))

    # -- steps 4 and 5

    def process(self, work: Work) -> tuple[bytes, ...]:
        """Do what a message says; what to answer. Never raises."""
        try:
            if work.wanted.enhanced and not self._older_first(work):
                return ()
            answer, code = self._process(work)
        except Exception as error:
            self._report(error, "hl7-process-failed")
            fault = fault_of(error)
            answer, code = self._reply(work.message, Ack.AE, [fault], work.charset), Ack.AE
        return (answer,) if answer and work.wanted.answer(code) else ()

    def _process(self, work: Work) -> tuple[bytes, Ack]:
        message = work.message
        at = self._clock.utc()
        why = f"{message.type}^{message.event} {message.control_id}"
        context = Context(
            message, work.source, self._maps[work.source.name], By(f"hl7:{work.source.name}", at, why), self._rules
        )
        handler = self._handlers[message.type, message.event]

        def act(ris: RisWork) -> Verdict:
            outcome = handler(ris, context)
            return Verdict(InState.DONE, Ack.AA.value, outcome.note, self._answer(work, outcome))

        try:
            verdict = self._inbox.process(work.row, self._owner, act, at)
        except Exception as error:
            return self._failed(work, error)
        if verdict is None:
            fault = Fault(Condition.INTERNAL, None, "it took too long; send it again")
            return self._reply(message, Ack.AE, [fault], work.charset), Ack.AE
        self._announce()
        self._observe(work.source.name, "done")
        log.info("hl7-done", source=work.source.name, message=f"in:{work.row}", type=_kind(message))
        return verdict.ack, Ack.AA

    def _failed(self, work: Work, error: Exception) -> tuple[bytes, Ack]:
        fault = fault_of(error)
        answer = self._reply(work.message, fault.code, [fault], work.charset)
        if fault.passing:
            self._report(error, "hl7-process-failed")
        # In enhanced mode its sender was told that we have it: it stays, and is tried again.
        if fault.passing and work.wanted.enhanced and self._put_back(work.row, str(fault)):
            self._observe(work.source.name, "put-back")
            return b"", fault.code
        verdict = Verdict(InState.REFUSED, fault.code.value, str(fault), answer)
        self._inbox.settle(work.row, self._owner, verdict, self._clock.utc())
        self._observe(work.source.name, "refused")
        log.info("hl7-refused", source=work.source.name, message=f"in:{work.row}", type=_kind(work.message),
                 code=fault.code.value, why=str(fault))  # fmt: skip
        return answer, fault.code

    def _put_back(self, row: int, error: str) -> bool:
        """Have a row tried again later; False: it was tried often enough, and is for a person now."""
        kept = self._inbox.one_in(row)
        attempts = kept.attempts if kept else 1
        if attempts >= _TRIES:
            return False
        self._inbox.release(row, self._owner, error, self._later(min(_LONGEST_WAIT, 2.0**attempts)))
        return True

    # -- what was accepted and left

    def _older_first(self, work: Work) -> bool:
        """Process what was accepted from this source before; False: it cannot be, so this one waits, too."""
        while left := self._take(work.source.name, work.row):
            if not self._redo(left):
                break
        if self._inbox.older_left(work.source.name, work.row):
            self._inbox.release(work.row, self._owner, "waits for an older one", self._later(2.0))
            return False
        return True

    def recover(self) -> int:
        """Process one message that was accepted and that nobody has; how many that were (0 or 1)."""
        left = self._take()
        if left is None:
            return 0
        self._redo(left)
        return 1

    def _take(self, source: str = "", before: int = 0) -> Incoming | None:
        until = self._later(self.settings.lease_seconds)
        return self._inbox.take(self._owner, self._clock.utc(), until, source=source, before=before)

    def _redo(self, row: Incoming) -> bool:
        """Process a row of the inbox without a sender at hand; False: it failed by our fault and stays."""
        known = next((one for one in (*self.settings.sources, ANYBODY) if one.name == row.source), None)
        try:
            head = self._head(row.message, Caller(row.address)) if known is None else None
            source = known or (head.source if head is not None else None)
            if source is None:
                raise BadMessage(
                    Condition.UNKNOWN_KEY, Place("MSH", 1, 3), "its source is not in the settings any more"
                )
            declared = self._bare(row.message).msh.repetitions(18)
            text = charsets.decode(row.message, declared, source.charset)
            message = parse(text, self.settings.limits)
            faults = check(message, self.settings)
            charset = declared[0] if declared else source.charset
            wanted = Wanted("NE", "NE")
            if faults:
                raise BadMessage(faults[0].condition, faults[0].place, faults[0].text)
        except BadMessage as error:
            verdict = Verdict(InState.REFUSED, fault_of(error).code.value, str(fault_of(error)), b"")
            self._inbox.settle(row.id, self._owner, verdict, self._clock.utc())
            self._observe(known.name if known is not None else "", "refused")
            return True
        answer, _ = self._process(Work(row.id, source, message, charset, wanted))
        return bool(answer)

    # -- answers

    def _answer(self, work: Work, outcome: Outcome) -> bytes:
        return self._reply(work.message, Ack.AA, outcome.notes, work.charset, outcome)

    def _reply(
        self, message: Message, code: Ack, faults: object, charset: str, outcome: Outcome | None = None
    ) -> bytes:
        return replies.reply(
            message,
            code,
            tuple(faults),  # type: ignore[arg-type]
            settings=self.settings,
            at=self._clock.utc(),
            control_id=new_control_id(),
            charset=charset,
            structure=outcome.structure if outcome else None,
            extra=outcome.extra if outcome else (),
        )

    def _generic(self, fault: Fault) -> bytes:
        return replies.generic(fault, settings=self.settings, at=self._clock.utc(), control_id=new_control_id())

    def _later(self, seconds: float) -> str:
        now = datetime.strptime(self._clock.utc(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return (now + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _report(self, error: BaseException, event: str) -> None:
        # Its text may hold values, so only what it is and where it came from is logged.
        trace, places = error.__traceback__, []
        while trace is not None:
            places.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
            trace = trace.tb_next
        log.error(event, kind=type(error).__name__, where=places[-4:], error_id=uuid.uuid4().hex[:12])


def new_control_id() -> str:
    """At most 20 characters (the limit before version 2.6), never the same again."""
    return uuid.uuid4().hex[:20].upper()


def _kind(message: Message) -> str:
    """Type and event for the log, where they are known ones: a broken header may hold a name in their place."""
    kind = MESSAGE_OF.get((message.type, message.event))
    return f"{kind.type}^{kind.event}" if kind is not None else "other"
