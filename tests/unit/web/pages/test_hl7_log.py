"""The HL7 log: lists, a message laid out by segment and field, doing again; and nothing of a patient in a log line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.web import Web, web

from vesalius.ports.hl7 import Arrival, Draft, InState, Known, OutState, Verdict
from vesalius.web.pages.hl7_log import Asked, line_in
from vesalius.web.pages.hl7_log.message import LONGEST, MOST_SEGMENTS, lay_out

NOW, LATER = "2026-01-31T10:00:00.000000Z", "2026-01-31T11:00:00.000000Z"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def message(control: str, name: str = "Doe^Jane") -> bytes:
    return (
        f"MSH|^~\\&|HIS|HOSP|VESALIUS||20260131||ADT^A04^ADT_A01|{control}|P|2.5.1||||||UNICODE UTF-8\r"
        f"PID|1||P1^^^HOSP^MR~X9^^^OLD||{name}||19700101|F|||Street \\T\\ Co&2^^Town\r"
        "NTE|1||first\\.br\\second\rZZZ|own\r"
    ).encode()


ACK = b"MSH|^~\\&|VESALIUS||HIS|HOSP|20260131||ACK^A04|A1|P|2.5.1\rMSA|AE|C1\rERR||PID^1^3|204^Unknown key|E\r"


def arrival(control: str, source: str = "HIS", **changes: object) -> Arrival:
    values: dict[str, object] = {
        "source": source, "application": "HIS", "facility": "HOSP", "control_id": control, "type": "ADT^A04",
        "address": "127.0.0.1", "at": NOW, "digest": control.encode(), "message": message(control),
    }  # fmt: skip
    return Arrival(**(values | changes))  # type: ignore[arg-type]


class Log:
    def __init__(self, made: Web) -> None:
        self.web = made
        assert made.ctx.hl7 is not None
        self.log = made.ctx.hl7.log

    def came(self, control: str, state: InState = InState.DONE, error: str = "", **changes: object) -> int:
        receipt = self.log.receive(arrival(control, **changes), "me", LATER)
        assert receipt.known is Known.NEW
        code = "AA" if state is InState.DONE else "AE"
        self.log.settle(receipt.row.id, "me", Verdict(state, code, error, ACK), NOW)
        return receipt.row.id

    def goes(self, control: str, to: str = "EMR") -> int:
        draft = Draft(f"{to}:{control}", to, control, "ORM^O01", message(control))
        self.log.queue([draft], NOW)
        return next(row.id for row in self.log.outgoing(destination=to) if row.control_id == control)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with web(tmp_path) as made:
        yield Log(made)


def test_a_message_is_laid_out_by_segment_and_field(log: Log) -> None:
    number = log.came("C1", InState.REFUSED, "PID-3: the patient is not known")
    page = log.web.ask(f"/hl7/in/{number}").text
    for text in (
        "Patient Identification", "PID-3", "Patient Identifier List", "PID-5", "Patient Name", "<bdi>Jane</bdi>",
        "Street &amp; Co", "the patient is not known", "Message Acknowledgment", "ERR-2", "Process again", "ZZZ-1",
    ):  # fmt: skip
        assert text in page, text
    assert log.web.ask("/hl7/in/999").status == 404
    assert log.web.ask("/hl7/sideways/1").status == 404
    assert log.web.ask("/hl7/in/x").status == 404


def test_values_are_decoded_and_repetitions_kept_apart() -> None:
    laid = lay_out(message("C1").decode())
    fields = {(part.name, field.number): field for part in laid.parts for field in part.fields}
    assert fields["PID", 3].values == (("P1", "", "", "HOSP", "MR"), ("X9", "", "", "OLD"))
    assert fields["PID", 11].values == (("Street & Co & 2", "", "Town"),)
    assert fields["NTE", 3].values == (("first\nsecond",),)
    assert (fields["MSH", 1].values, fields["MSH", 2].values) == ((("|",),), (("^~\\&",),))
    assert (fields["MSH", 9].name, fields["ZZZ", 1].name) == ("Message Type", "")


@pytest.mark.parametrize("text", ["", "no message at all", "MSH", "MSH|^~\\&|", "PID|1\rMSH|^~\\&|x"])
def test_what_is_no_message_is_shown_as_it_came(text: str) -> None:
    laid = lay_out(text)
    assert "".join(laid.lines) == "".join(laid.lines) and len(laid.parts) <= 2
    assert bool(laid.lines) == bool(text)


def test_a_huge_message_is_cut_and_says_so() -> None:
    text = message("C1").decode() + "OBX|1|TX|a||" + "x" * (LONGEST + 5) + "\r" + "NTE|1\r" * MOST_SEGMENTS
    laid = lay_out(text)
    assert len(laid.parts) == MOST_SEGMENTS and laid.left == 5
    obx = next(part for part in laid.parts if part.name == "OBX")
    assert len(obx.fields[-1].values[0][0]) == LONGEST


def test_markup_in_a_message_is_text(log: Log) -> None:
    number = log.came("C1", message=message("C1", "<img src=x onerror=1>^<script>"))
    page = log.web.ask(f"/hl7/in/{number}").text
    assert "<img" not in page.replace('<img src="/assets', "") and "&lt;img src=x" in page


def test_lists_filter_and_page(log: Log) -> None:
    for number in range(60):
        log.came(f"N{number:03}")
    log.came("R1", InState.REFUSED, "wrong", source="LAB")
    first = log.web.ask("/hl7").text
    assert first.count('class="row row-link"') == 50 and "R1" in first and "Older" in first
    assert log.web.ask("/hl7?state=refused").text.count('class="row row-link"') == 1
    assert "No message fits" in log.web.ask("/hl7?state=refused&partner=HIS").text
    assert log.web.ask("/hl7?text=N05").text.count('class="row row-link"') == 10
    assert log.web.ask("/hl7?before=12").text.count('class="row row-link"') == 11
    assert "No message was sent yet" in log.web.ask("/hl7?way=out").text
    assert log.web.ask("/hl7?state=sent").status == 200, "a state of the other way lists nothing"


def test_a_refused_message_is_processed_again_and_a_done_one_never(log: Log) -> None:
    refused, done = log.came("C1", InState.REFUSED, "wrong"), log.came("C2")
    answer = log.web.ask(f"/hl7/in/{refused}/replay", "POST", FORM)
    assert (answer.status, answer.headers["location"]) == (303, f"/hl7/in/{refused}")
    assert log.log.one_in(refused).state is InState.ACCEPTED
    assert log.web.ask(f"/hl7/in/{done}/replay", "POST", FORM).status == 409
    assert log.log.one_in(done).state is InState.DONE
    assert "never processed twice" in log.web.ask(f"/hl7/in/{done}").text


def test_a_held_message_is_sent_again_behind_what_waits(log: Log) -> None:
    held, waiting = log.goes("O1"), log.goes("O2")
    log.log.held(held, "AR", "not wanted", ACK, NOW)
    page = log.web.ask("/hl7?way=out").text
    assert "1 message waits" in page and "1 held for a person" in page and "EMR" in page
    assert log.web.ask(f"/hl7/out/{held}/replay", "POST", FORM).status == 303
    assert log.log.one_out(held).state is OutState.REPLAYED
    assert [row.control_id for row in log.log.next_out("EMR", 5)] == ["O2", "O1"]
    assert log.web.ask(f"/hl7/out/{waiting}/replay", "POST", FORM).status == 409


def test_another_origin_cannot_replay(log: Log) -> None:
    refused = log.came("C1", InState.REFUSED)
    for path in (f"/hl7/in/{refused}/replay", f"/api/hl7/messages/in/{refused}/replay"):
        assert log.web.ask(path, "POST", {**FORM, "origin": "https://evil.example"}).status == 403
    assert log.log.one_in(refused).state is InState.REFUSED


def test_scripts_list_show_and_replay(log: Log) -> None:
    refused = log.came("C1", InState.REFUSED, "wrong")
    log.goes("O1")
    listed = log.web.ask("/api/hl7/messages?state=refused").json()["messages"]
    assert [(one["id"], one["code"], one["error"], one["partner"]) for one in listed] == [
        (refused, "AE", "wrong", "HIS")
    ]
    assert "message" not in listed[0]
    one = log.web.ask(f"/api/hl7/messages/in/{refused}").json()
    assert one["message"].encode() == message("C1") and one["acknowledgement"].encode() == ACK
    assert log.web.ask(f"/api/hl7/messages/in/{refused}/replay", "POST").json()["state"] == "accepted"
    assert log.web.ask(f"/api/hl7/messages/in/{refused}/replay", "POST").status in (200, 409)
    (queue,) = log.web.ask("/api/hl7/queues").json()["queues"]
    assert (queue["destination"], queue["waiting"], queue["held"]) == ("EMR", 1, 0)
    for wrong in ("way=up", "state=odd", "limit=0", "limit=501", "before=x", "way=in&way=out"):
        assert log.web.ask(f"/api/hl7/messages?{wrong}").status == 400


def test_nothing_of_a_message_is_logged(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    number = log.came("C1", InState.REFUSED, "wrong")
    capsys.readouterr()
    log.web.ask(f"/hl7/in/{number}")
    log.web.ask(f"/hl7/in/{number}/replay", "POST", FORM)
    told = "".join(capsys.readouterr())
    assert "Doe" not in told and "19700101" not in told


def test_addresses_leave_out_what_is_not_asked() -> None:
    assert Asked("in", "", "HIS").address(before=3) == {
        "way": "in", "state": "", "partner": "HIS", "text": "", "before": 3,
    }  # fmt: skip
    assert line_in.__doc__
