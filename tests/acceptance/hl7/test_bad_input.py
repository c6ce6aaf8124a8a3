"""Bad-input rows L1 to L14, over a real socket to the real product; after each a good message is taken."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from tests.acceptance.hl7.conftest import Hl7Server
from tests.support.hl7_site import adt, msh, orm, said
from tests.support.mllp import Mllp
from tests.support.server import listing

from vesalius.wire.mllp import block

_numbers = itertools.count(1)


def somebody() -> str:
    """A PID from PID-3 on, of somebody new."""
    return f"L{next(_numbers)}^^^H^MR||Doe^Jane||19800102|F"


@pytest.fixture(autouse=True)
def a_good_message_is_taken_afterwards(hl7: Hl7Server) -> Iterator[None]:
    yield
    with hl7.connect() as connection:
        assert said(connection.ask(adt("A04", somebody()))) == "AA"
    assert hl7.server.process.poll() is None


# -- L1: framing


def test_l1_garbage_before_a_block_is_dropped(his: Mllp) -> None:
    his.raw(b"GET / HTTP/1.1\r\n\r\n\x1c\r\x00\xff" + block(adt("A04", somebody()).encode()))
    answer = his.read()
    assert answer is not None
    assert b"MSA|AA" in answer


@pytest.mark.parametrize("data", [b"MSH|^~\\&|no start", b"\x0bMSH|^~\\&|no end", b"\x0bMSH|^~\\&|one of two\x1c"])
def test_l1_what_never_ends_is_closed_without_an_answer(his: Mllp, data: bytes) -> None:
    his.raw(data)
    if data[0] == 0x0B:
        assert his.read() is None
    else:
        assert his.silent()


def test_l1_a_drip_of_bytes_does_not_keep_a_block_open(his: Mllp) -> None:
    his.raw(b"\x0b")
    his.socket.settimeout(0.1)
    for _ in range(600):
        try:
            his.raw(b"x")
            if his.socket.recv(10) == b"":
                return
        except TimeoutError:
            continue
        except ConnectionError:
            return
    raise AssertionError("a block that takes a minute was still waited for")


def test_l1_a_block_that_is_too_long_is_closed_without_an_answer(his: Mllp) -> None:
    try:
        his.raw(b"\x0bMSH|" + b"x" * (13 << 20))
    except ConnectionError:
        pass
    assert his.read() is None


# -- L2: no message


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"PID|1||12", b"MSH", b"MSH|", b"MSH|^~", b"MSH||~\\&|HIS", b"MSH|^^\\&|HIS|H", b"MSHA^~\\&A",
        b"\x00\x01\x02", b"\xff" * 100, b"<html>", b"MSH\r\rPID",
    ],
)  # fmt: skip
def test_l2_what_is_no_message_is_answered_ar_and_the_connection_lives(his: Mllp, content: bytes) -> None:
    answer = his.ask(content)
    assert answer.value("MSA", 1) == "AR"
    assert answer.control_id
    assert answer.value("ERR", 3) in ("100", "102")
    assert said(his.ask(adt("A04", somebody()))) == "AA"


def test_l2_two_answers_have_two_control_ids(his: Mllp) -> None:
    assert his.ask(b"x").control_id != his.ask(b"x").control_id


# -- L3: unknown things in the header


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (msh("ZZZ^Z01") + "PID|1||1\r", "AR 200 MSH-9.1"),
        (msh("ORU^R01") + "PID|1||1\r", "AR 200 MSH-9.1"),
        (msh("ADT^A99") + "PID|1||1\r", "AR 201 MSH-9.2"),
        (msh("ADT") + "PID|1||1\r", "AR 201 MSH-9.2"),
        (msh("") + "PID|1||1\r", "AE 101 MSH-9"),
        (msh("ADT^A04", version="9.9") + "PID|1||1\r", "AR 203 MSH-12"),
        (msh("ADT^A04", version="") + "PID|1||1\r", "AR 203 MSH-12"),
        (msh("ADT^A04", f11="Q") + "PID|1||1\r", "AR 202 MSH-11"),
        (msh("ADT^A04").replace("|M", "||", 1), "AE 101 MSH-10"),
        (msh("ADT^A04", "x" * 200), "AE 104 MSH-10"),
    ],
)
def test_l3_unknown_type_event_version_and_processing_id(his: Mllp, text: str, answer: str) -> None:
    if "MSH-10" in answer and "101" in answer:
        text = re.sub(r"(ADT\^A04\|)[^|]*", r"\1", msh("ADT^A04"))
    assert said(his.ask(text)) == answer


# -- L4, L5: fields


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (adt("A04", "||Doe^Jane"), "AE 101 PID-3"),
        (adt("A04", "^^^H||Doe^Jane"), "AE 101 PID-3"),
        (orm("", "L4"), "AE 101 ORC-1"),
        (orm("NW", "L4").replace("L4^HIS", ""), "AE 101 ORC-2"),
        (orm("NW", "L4", code=""), "AE 101 OBR-4"),
        (adt("A40", "1^^^H||X", "MRG|"), "AE 101 MRG-1"),
        (msh("ADT^A04") + "EVN|A04\rPV1|1|O\r", "AE 100 PID"),
        (adt("A04", "1^^^H||X||31.12.1980"), "AE 102 PID-7"),
        (adt("A04", "1^^^H||X||19801331"), "AE 102 PID-7"),
        (adt("A04", "1^^^H||X|||Q"), "AE 103 PID-8"),
        (orm("NW", "L5", orc="SC||1^^^tomorrow"), "AE 102 ORC-7.4"),
    ],
)
def test_l4_l5_missing_and_wrong_fields_are_errors_with_their_place(his: Mllp, text: str, answer: str) -> None:
    assert said(his.ask(text)) == answer


def test_l5_a_birth_date_of_which_only_the_year_is_known_is_taken(his: Mllp) -> None:
    for birth in ("1980", "198001", "19800000", "00000000"):
        assert said(his.ask(adt("A04", f"L5-{birth}^^^H||X||{birth}"))) == "AA"


def test_errors_have_the_form_of_the_version(his: Mllp) -> None:
    old = his.ask(adt("A04", "||Doe", version="2.3"))
    assert old.value("ERR", 1, 1) == "PID"
    assert old.value("ERR", 1, 4) == "101"
    assert old.msh.value(12) == "2.3"
    assert old.msh.value(9) == "ACK"


# -- L6: separators and order


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r", "   \r", "\r\n\r\n"])
def test_l6_every_end_of_a_segment_is_read(his: Mllp, end: str) -> None:
    assert said(his.ask(adt("A04", somebody()).replace("\r", end))) == "AA"


def test_l6_segments_in_the_wrong_order_are_an_error(his: Mllp) -> None:
    text = msh("ADT^A04") + f"EVN|A04\rPV1|1|O\rPID|1||{somebody()}\r"
    assert said(his.ask(text)) == "AE 100 PV1"


def test_t16_a_line_feed_in_a_field_makes_no_segment(hl7: Hl7Server, his: Mllp) -> None:
    text = msh("ADT^A04") + "EVN|A04\rPID|1||T16LF^^^H||Doe\nPID|2||T16BAD^^^H||Evil\rPV1|1|O\r"
    his.ask(text)
    candidates = msh("QBP^Q22") + "QPD|Q22|T|@PID.3.1^T16BAD~@PID.3.4^H\rRCP|I\r"
    assert his.ask(candidates).value("QAK", 2) == "NF"


# -- L7: keys


def test_l7_unknown_duplicate_and_locked_keys(his: Mllp) -> None:
    pid = somebody()
    assert said(his.ask(adt("A08", pid))) == "AE 204 PID-3"
    assert said(his.ask(adt("A28", pid))) == "AA"
    assert said(his.ask(adt("A28", pid.replace("Doe", "Other")))) == "AE 205 PID-3"
    number = f"L7-{next(_numbers)}"
    assert said(his.ask(orm("NW", number, pid=pid))) == "AA"
    assert said(his.ask(orm("NW", number, pid=pid))) == "AE 205"
    assert said(his.ask(orm("DC", number, pid=pid))) == "AA"
    assert said(his.ask(orm("HD", number, pid=pid))) == "AE 206", "a cancelled order cannot be held"


# -- L8: control ids


def test_l8_the_same_message_gets_the_same_answer_and_is_done_once(hl7: Hl7Server, his: Mllp) -> None:
    number = f"L8-{next(_numbers)}"
    text = orm("NW", number, pid=somebody(), control_id=f"C{number}").encode()
    his.raw(block(text))
    first = his.read()
    assert first is not None
    assert b"MSA|AA" in first
    his.raw(block(text))
    assert his.read() == first
    later = text.replace(b"20261124080000", b"20261124090000", 1)  # sent again an hour later
    with hl7.connect() as other:
        other.raw(block(later))
        assert other.read() == first
    assert "hl7-control-id-reused" not in hl7.server.log_text()


def test_l8_another_message_under_the_same_control_id_is_refused_and_reported(hl7: Hl7Server, his: Mllp) -> None:
    control = f"L8-{next(_numbers)}"
    assert said(his.ask(adt("A04", somebody(), control_id=control))) == "AA"
    assert said(his.ask(adt("A04", somebody(), control_id=control))) == "AE 205 MSH-10"
    assert "hl7-control-id-reused" in hl7.server.log_text()
    rows = listing("hl7", "list", "--control-id", control, data=hl7.server.data)
    assert f'"message":"{rows[-1]["id"]}"' in hl7.server.log_text(), "the log names the one that came first"
    assert said(his.ask(adt("A04", somebody(), control_id=control).replace("|HIS|", "|LATIN|", 1))) == "AA"


def test_what_was_refused_is_judged_anew_when_it_comes_again(his: Mllp) -> None:
    pid = somebody()
    text = adt("A08", pid)
    assert said(his.ask(text)) == "AE 204 PID-3"
    assert said(his.ask(adt("A28", pid))) == "AA"
    assert said(his.ask(text)) == "AA"


# -- L9: merges


def test_l9_merges_onto_itself_in_a_loop_and_of_somebody_unknown(his: Mllp) -> None:
    a, b, c = (f"L9{letter}{next(_numbers)}^^^H" for letter in "ABC")
    assert said(his.ask(adt("A40", f"{a}||X", f"MRG|{a}"))) == "AE 102 MRG-1"
    assert said(his.ask(adt("A40", f"{b}||X", f"MRG|{a}"))) == "AA", "an unknown record is made, for its images"
    assert said(his.ask(adt("A40", f"{c}||X", f"MRG|{b}"))) == "AA"
    assert said(his.ask(adt("A40", f"{a}||X", f"MRG|{c}"))) == "AE 205 MRG-1"


def test_t16_merges_count_from_named_senders_only(his: Mllp) -> None:
    text = adt("A40", "1^^^H||X", "MRG|2^^^H").replace("|HIS|", "|LATIN|", 1)
    assert said(his.ask(text)) == "AR 201 MSH-9.2"


def test_t16_a_sender_that_is_not_known_is_answered_ar(
    tmp_path_factory: pytest.TempPathFactory, hl7: Hl7Server
) -> None:
    from tests.support.dcmtk import free_port
    from tests.support.server import running_server

    port = free_port()
    config = (
        f'[hl7]\nlisten = true\nport = {port}\nallow_unknown_on_loopback = false\n[[hl7.sources]]\nname = "HIS"\n'
        'application = "HIS"\nfacility = "HOSPITAL"\naddresses = ["127.0.0.0/8"]\n'
        '[[hl7.sources]]\nname = "FAR"\napplication = "FAR"\naddresses = ["10.0.0.0/8"]\n'
    )
    with running_server(tmp_path_factory.mktemp("hl7"), config=config) as server, Mllp(port) as connection:
        text = adt("A04", "1^^^H||Doe^Jane")
        assert said(connection.ask(text)) == "AA"
        for wrong in (text.replace("|HIS|", "|EVIL|", 1), text.replace("|HOSPITAL|", "|X|", 1),
                      text.replace("|HIS|", "|FAR|", 1)):  # fmt: skip
            assert said(connection.ask(wrong)) == "AR 200 MSH-3"
        assert "hl7-unknown-sender" in server.log_text()
        assert len(listing("hl7", "list", data=server.data)) == 1, "nothing of strangers is kept"


# -- L10: character sets


@pytest.mark.parametrize(
    ("name", "charset", "raw"),
    [
        ("Müller", "8859/1", "Müller".encode("latin_1")),
        ("Müller", "UNICODE UTF-8", "Müller".encode()),
        ("Müller", "UNICODE", "Müller".encode()),
        ("Müller", "", "Müller".encode()),
        ("Łukasz", "8859/2", "Łukasz".encode("iso8859_2")),
        ("Иванов", "8859/5", "Иванов".encode("iso8859_5")),
        ("山田", "~ISO IR87", b"\x1b$B;3ED\x1b(B"),
        ("山田", "ISO IR87", b"\x1b$B;3ED\x1b(B"),
        ("김", "~KS X 1001", b"\x1b$)C\xb1\xe8"),
        ("王", "GB 18030-2000", "王".encode("gb18030")),
    ],
)
def test_l10_names_are_read_in_the_character_set_that_the_message_declares(
    his: Mllp, name: str, charset: str, raw: bytes
) -> None:
    number = f"L10-{next(_numbers)}"
    text = adt("A04", f"{number}^^^H||NAME^X", f18=charset).encode().replace(b"NAME", raw)
    assert said(his.ask(text)) == "AA"
    found = his.ask(msh("QBP^Q22") + f"QPD|Q22|T|@PID.3.1^{number}~@PID.3.4^H\rRCP|I\r")
    assert found.value("PID", 5) == name


def test_l10_what_the_source_says_counts_where_the_message_says_nothing(his: Mllp) -> None:
    number = f"L10-{next(_numbers)}"
    text = adt("A04", f"{number}^^^H||M\xfcller^X").replace("|HIS|", "|LATIN|", 1).encode("latin_1")
    assert said(his.ask(text)) == "AA"
    found = his.ask(msh("QBP^Q22") + f"QPD|Q22|T|@PID.3.1^{number}~@PID.3.4^H\rRCP|I\r")
    assert found.value("PID", 5) == "Müller"


@pytest.mark.parametrize(
    ("charset", "raw", "answer"),
    [
        ("UNICODE UTF-8", b"M\xfcller", "AE 102 MSH-18"),
        ("", b"M\xfcller", "AE 102 MSH-18"),
        ("ASCII", b"M\xfcller", "AE 102 MSH-18"),
        ("KLINGON", b"Mueller", "AE 103 MSH-18"),
        ("UNICODE UTF-16", b"Mueller", "AE 103 MSH-18"),
    ],
)
def test_l10_what_cannot_be_read_is_an_error_and_never_a_guess(
    his: Mllp, charset: str, raw: bytes, answer: str
) -> None:
    text = adt("A04", "L10BAD^^^H||NAME^X", f18=charset).encode().replace(b"NAME", raw)
    assert said(his.ask(text)) == answer
    found = his.ask(msh("QBP^Q22") + "QPD|Q22|T|@PID.3.1^L10BAD~@PID.3.4^H\rRCP|I\r")
    assert found.value("QAK", 2) == "NF"


def test_l11_msh_inside_fields_is_text(his: Mllp) -> None:
    text = adt("A04", f"L11-{next(_numbers)}^^^MSH||MSH^MSH", "PV1|1|O|MSH||MSH", f4="MSH", f5="MSH", f6="MSH")
    assert said(his.ask(text)) == "AA"


# -- L12: limits and escapes


def test_l12_too_many_repetitions_and_a_huge_field_are_errors(his: Mllp) -> None:
    assert said(his.ask(adt("A04", "1^^^H" + "~2^^^H" * 100_000 + "||X"))) == "AE 102 PID-3"
    assert said(his.ask(adt("A04", "1^^^H||" + "x" * (10 << 20)))) == "AE 102 PID-5"
    assert said(his.ask(adt("A04", somebody()) + "OBX|1\r" * 5000)) == "AE 102"


def test_l12_escapes_are_data_and_never_structure(his: Mllp) -> None:
    number = f"L12-{next(_numbers)}"
    name = r"Do\X0D\PID\F\e\S\x\R\y\Zxx\z\E\ "
    assert said(his.ask(adt("A04", f"{number}^^^H||{name}^Jane"))) == "AA"
    found = his.ask(msh("QBP^Q22") + f"QPD|Q22|T|@PID.3.1^{number}~@PID.3.4^H\rRCP|I\r")
    assert len(found.all("PID")) == 1
    assert found.value("PID", 5) == "Do PID|e x~y/Zxx/z/"
    assert found.value("PID", 5, 2) == "Jane"


# -- L14: splits


def test_l14_two_messages_in_one_segment_and_one_in_five_thousand_are_answered_in_order(his: Mllp) -> None:
    first, second = adt("A04", somebody(), control_id="L14A"), adt("A04", somebody(), control_id="L14B")
    his.raw(block(first.encode()) + block(second.encode()))
    for control in (b"L14A", b"L14B"):
        answer = his.read()
        assert answer is not None
        assert b"MSA|AA|" + control in answer
    long = block((adt("A04", somebody(), control_id="L14C") + "NTE|1||" + "x" * 4800 + "\r").encode())
    for at in range(len(long)):
        his.raw(long[at : at + 1])
    answer = his.read()
    assert answer is not None
    assert b"MSA|AA|L14C" in answer


def test_no_name_of_a_patient_is_ever_logged(hl7: Hl7Server, his: Mllp) -> None:
    secret = "Geheimrat"
    his.ask(adt("A04", f"S{next(_numbers)}^^^H||{secret}^X"))
    his.ask(adt("A04", f"S{next(_numbers)}^^^H||{secret}^X||nonsense"))
    his.ask(orm("QQ", "1", pid=f"1^^^H||{secret}"))
    his.ask(msh("ADT^A04") + f"PID|1||{secret}\n\x01|{secret}")
    assert secret not in hl7.server.log_text()
