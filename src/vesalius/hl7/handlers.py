"""Which message is handled where: one entry for each row of `standard.hl7_tables.MESSAGES`; a test compares them."""

from __future__ import annotations

from vesalius.hl7 import adt, candidates, orders, schedule
from vesalius.hl7.context import Handler

HANDLERS: dict[tuple[str, str], Handler] = {
    ("ADT", "A01"): adt.admit,
    ("ADT", "A04"): adt.admit,
    ("ADT", "A05"): adt.admit,
    ("ADT", "A08"): adt.update,
    ("ADT", "A11"): adt.cancel_admission,
    ("ADT", "A13"): adt.cancel_discharge,
    ("ADT", "A28"): adt.add_person,
    ("ADT", "A31"): adt.update_person,
    ("ADT", "A40"): adt.merge,
    ("ADT", "A47"): adt.change_identifier,
    ("ORM", "O01"): orders.order_message,
    ("OMG", "O19"): orders.order_message,
    ("OMI", "O23"): orders.order_message,
    ("SIU", "S12"): schedule.book,
    ("SIU", "S13"): schedule.change,
    ("SIU", "S14"): schedule.change,
    ("SIU", "S15"): schedule.cancel,
    ("QBP", "Q22"): candidates.find_candidates,
}
