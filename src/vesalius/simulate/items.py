"""Items of a worklist as a scanner looks at them."""

from __future__ import annotations

from datetime import datetime, timedelta

from vesalius.model import reading
from vesalius.model.entities import Values

STEP_SEQUENCE = 0x00400100


def start_of(item: Values) -> str:
    """When a step is planned, `YYYYMMDDHHMMSS`."""
    step = reading.item(item, STEP_SEQUENCE)
    return reading.text(step, 0x00400002) + reading.text(step, 0x00400003)[:6].ljust(6, "0")


def is_due(item: Values, now: datetime, lead: timedelta = timedelta(minutes=5)) -> bool:
    """Whether a step's time has come."""
    return start_of(item) <= (now + lead).strftime("%Y%m%d%H%M%S")


def step_id(item: Values) -> str:
    """Scheduled Procedure Step ID; "" for an examination without a plan."""
    return reading.text(reading.item(item, STEP_SEQUENCE), 0x00400009)


def typed(
    patient_id: str, name: str, *, birth_date: str = "", sex: str = "", description: str = "Unscheduled examination"
) -> Values:
    """What somebody types at the console where no plan is, in the shape of a worklist item."""
    texts = {0x00100020: patient_id, 0x00100010: name, 0x00100030: birth_date, 0x00100040: sex, 0x00321060: description}
    return {tag: (text,) if text else () for tag, text in texts.items()}
