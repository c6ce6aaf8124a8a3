"""What a modality tells of a planned step by MPPS, as data sets of `ris.performed_steps`."""

from __future__ import annotations

from vesalius.backends.ris_sql import SqlRis
from vesalius.model.entities import Values
from vesalius.model.orders import Order, RequestedProcedure, ScheduledStep

SERIES, IMAGE = "1.2.826.2", "1.2.826.3"


def in_progress(ris: SqlRis, step: ScheduledStep) -> Values:
    """The data set of an N-CREATE."""
    procedure = ris.look(lambda view: view.get(RequestedProcedure, step.procedure))
    order = ris.look(lambda view: view.get(Order, step.order))
    item: Values = {
        0x0020000D: (procedure.study_uid,),
        0x00080050: (order.accession,),
        0x00401001: (procedure.number,),
        0x00400009: (step.number,),
    }
    return {
        0x00400252: ("IN PROGRESS",),
        0x00400270: (item,),
        0x00400253: ("PPS1",),
        0x00400241: ("CT1",),
        0x00080060: ("CT",),
        0x00400244: ("20261125",),
        0x00400245: ("093500",),
    }


def completed(*, codes: bool = True, status: str = "COMPLETED", image: str = IMAGE) -> Values:
    """The data set of the last N-SET: one series of one image."""
    series: Values = {0x0020000E: (SERIES,), 0x00081140: ({0x00081155: (image,)},)}
    values: Values = {
        0x00400252: (status,),
        0x00400250: ("20261125",),
        0x00400251: ("095000",),
        0x00400340: (series,),
    }
    if codes:
        values[0x00081032] = tuple(
            {0x00080100: (code,), 0x00080102: ("GOAE",), 0x00080104: (f"Charge {code}",)} for code in ("C100", "C200")
        )
    return values
