"""Every real message goes through the real product: taken where its type is supported, else rejected with a reason."""

from __future__ import annotations

import re
import sqlite3

import pytest
from tests.acceptance.hl7.conftest import Hl7Server
from tests.support.hl7_data import REAL, real_bytes
from tests.support.hl7_site import said

from vesalius.wire.hl7_message import parse
from vesalius.wire.mllp import block

TYPE, EVENT = "AR 200 MSH-9.1", "AR 201 MSH-9.2"
# What is not simply taken, and why. Orders for a diet, a supply and a drug name no procedure; two have no number.
EXPECTED = {
    "ADT-A02-01.hl7": EVENT,
    "ADT-A03-02.hl7": EVENT,
    "ADT-A06-02.hl7": EVENT,
    "ADT-A45-01.hl7": EVENT,
    "LAB-ORU-1.hl7": TYPE,
    "LAB-ORU-2.hl7": TYPE,
    "LRI_2.0-NG_CBC_Typ_Message.hl7": TYPE,
    "MDHHS-OML-O21-1.hl7": TYPE,
    "MDM-T02-01.hl7": TYPE,
    "MDM-T02-03.hl7": TYPE,
    "OML-O21-01.hl7": TYPE,
    "ORU-R01-01.hl7": TYPE,
    "ORU-R01-RMGEAD.hl7": TYPE,
    "OUL-R22-01.hl7": TYPE,
    "OMG-O19-01.hl7": "AE 101 ORC-2",
    "OMG-O19-02.hl7": "AE 101 ORC-2",
    "ORM-O01-04.hl7": "AE 101 OBR-4",
    "ORM-O01-05.hl7": "AE 101 OBR-4",
    "ORM-O01-06.hl7": "AE 101 OBR-4",
}


def unlike_the_others(name: str, raw: bytes) -> bytes:
    """The samples share control ids, and orders share their numbers: each gets its own."""
    number = b"R%d" % REAL.index(name)
    raw = re.sub(rb"\A((?:\xef\xbb\xbf)?MSH(?:\|[^|\r\n]*){8}\|)[^|\r\n]*", lambda match: match[1] + number, raw)
    return raw.replace(b"^GHHPlacer", b"^" + number).replace(b"^GHHFiller", b"^" + number)


@pytest.mark.parametrize("name", REAL)
def test_a_real_message_is_taken_or_rejected_with_its_reason(hl7: Hl7Server, name: str) -> None:
    raw = unlike_the_others(name, real_bytes(name))
    expected = EXPECTED.get(name, "AA")
    number = f"R{REAL.index(name)}"
    header = parse(raw.decode("utf_8")).msh
    accept, application = header.value(15), header.value(16)
    with hl7.connect() as his:
        his.raw(block(raw))
        wanted = application if expected == "AA" else accept
        if not (accept or application) or wanted == "AL" or (wanted == "ER" and expected != "AA"):
            answer = his.read()
            assert answer is not None
            reply = parse(answer.decode())
            assert reply.value("MSA", 2) == number
            code, _, rest = said(reply).partition(" ")
            assert code.replace("C", "A") == expected.split()[0]
            if header.value(12) >= "2.5":
                assert rest == expected.partition(" ")[2]
        # Whatever was asked to be answered: the log says what became of it.
        his.ask(b"")
    assert logged(hl7, number) == [expected.split()[0]]


def logged(hl7: Hl7Server, control_id: str) -> list[str]:
    """The codes in the log; read from the database itself, because the command takes a second."""
    with sqlite3.connect(f"file:{hl7.server.data}/index.db?mode=ro", uri=True) as database:
        return [row[0] for row in database.execute("SELECT code FROM hl7_in WHERE control_id = ?", (control_id,))]


def test_the_table_names_real_messages_only() -> None:
    assert not REAL or set(EXPECTED) <= set(REAL)
