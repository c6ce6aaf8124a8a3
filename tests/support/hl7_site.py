"""An intake with its inbox and workflow in a database of its own, for tests that need no socket."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vesalius.backends.database import Database, open_database
from vesalius.backends.hl7_sql import SqlHl7Log
from vesalius.backends.ris_sql import SqlRis
from vesalius.hl7.config import Caller, Hl7Settings, Source
from vesalius.hl7.handlers import HANDLERS
from vesalius.hl7.intake import Intake
from vesalius.model.orders import By, Code, Order, Patient, Procedure, Station
from vesalius.ris import catalogue
from vesalius.ris.rules import RisRules
from vesalius.wire.hl7_message import Message, parse

HIS = Source(name="HIS", merges=True)
BY = By("test", "2026-11-24T08:00:00.000000Z")


class SteppingClock:
    """A clock that goes on by a second with each look."""

    def __init__(self) -> None:
        self.seconds = 0

    def utc(self) -> str:
        self.seconds += 1
        moment = datetime(2026, 11, 24, 8, tzinfo=UTC) + timedelta(seconds=self.seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def monotonic(self) -> float:
        return float(self.seconds)


@dataclass
class Site:
    """One intake over one database."""

    database: Database
    settings: Hl7Settings = field(default_factory=lambda: Hl7Settings(sources=(HIS,)))
    rules: RisRules = field(default_factory=RisRules)
    clock: SteppingClock = field(default_factory=SteppingClock)

    def __post_init__(self) -> None:
        self.log = SqlHl7Log(self.database)
        self.ris = SqlRis(self.database)
        self.intake = self.new_intake()

    def new_intake(self, **options: object) -> Intake:
        return Intake(self.settings, self.log, self.clock, self.rules, HANDLERS, **options)  # type: ignore[arg-type]

    def send(self, text: str | bytes, address: str = "127.0.0.1") -> list[Message]:
        """What comes back to a message."""
        raw = text if isinstance(text, bytes) else text.encode()
        accepted = self.intake.accept(raw, Caller(address))
        assert not accepted.busy
        replies = list(accepted.replies)
        if accepted.work is not None:
            replies += self.intake.process(accepted.work)
        return [parse(reply.decode()) for reply in replies]

    def ack(self, text: str | bytes, address: str = "127.0.0.1") -> str:
        """Code, condition and place of the one answer: `AA`, `AE 204 PID-3`."""
        (reply,) = self.send(text, address)
        return said(reply)

    def patients(self) -> list[Patient]:
        return self.ris.look(lambda view: view.find(Patient))

    def orders(self) -> list[Order]:
        return self.ris.look(lambda view: view.find(Order))

    def furnish(self) -> None:
        """A catalogue of two procedures and two stations."""

        def act(work: object) -> None:
            ct = Procedure(Code("CTHEAD", "L"), "CT head", "CT", 20, protocols=(Code("P1", "L", "Head"),))
            catalogue.save_procedure(work, BY, ct)  # type: ignore[arg-type]
            mr = Procedure(Code("MRBRAIN", "L"), "MR brain", "MR", 30, charges=(Code("C77", "GOAE"),))
            catalogue.save_procedure(work, BY, mr)  # type: ignore[arg-type]
            catalogue.save_station(work, BY, Station("CT1", "CT one", "CT", room="R1"))  # type: ignore[arg-type]
            catalogue.save_station(work, BY, Station("CT2", "CT two", "CT", room="R2"))  # type: ignore[arg-type]
            catalogue.save_station(work, BY, Station("MR1", "MR one", "MR", room="R3"))  # type: ignore[arg-type]

        self.ris.change(act)


def open_site(folder: Path, **options: object) -> Site:
    return Site(open_database(f"sqlite:///{folder}/index.db"), **options)  # type: ignore[arg-type]


def said(reply: Message) -> str:
    """Code, condition and place of an acknowledgement."""
    error = reply.first("ERR")
    words = [reply.value("MSA", 1)]
    if error is not None:
        place = error.value(2, 1)
        place += f"-{error.value(2, 3)}" if error.value(2, 3) else ""
        place += f".{error.value(2, 5)}" if error.value(2, 5) else ""
        words += [error.value(3), place]
    return " ".join(filter(None, words))


_numbers = itertools.count(1)


def msh(kind: str, control_id: str = "", *, version: str = "2.5.1", **fields: str) -> str:
    """A header; keyword names are `f` and the number of a field."""
    values = {3: "HIS", 4: "HOSPITAL", 7: "20261124080000", 9: kind, 10: control_id or f"M{next(_numbers)}", 11: "P"}
    values[12] = version
    values |= {int(name[1:]): value for name, value in fields.items()}
    return "MSH|^~\\&|" + "|".join(values.get(at, "") for at in range(3, max(values) + 1)) + "\r"


def adt(event: str, pid: str, *more: str, **options: str) -> str:
    """An ADT message with one PID (from PID-3 on)."""
    visit = [] if any(line.startswith(("PV1", "MRG")) for line in more) else ["PV1|1|O"]
    lines = [f"EVN|{event}|20261124080000", f"PID|1||{pid}", *more, *visit]
    return msh(f"ADT^{event}", **options) + "".join(line + "\r" for line in lines)


def orm(control: str, number: str, *, pid: str = "4711^^^H^MR||Doe^Jane", code: str = "CTHEAD^CT^L", orc: str = "",
        obr: str = "", kind: str = "ORM^O01", more: str = "", **options: str) -> str:  # fmt: skip
    """An order message with one order. `orc`: from ORC-5 on; `obr`: from OBR-5 on."""
    lines = [f"PID|1||{pid}", f"ORC|{control}|{number}^HIS|||{orc}"]
    if code:
        lines.append(f"OBR|1|{number}^HIS||{code}|{obr}")
    if more:
        lines.append(more)
    return msh(kind, **options) + "".join(line + "\r" for line in lines)
