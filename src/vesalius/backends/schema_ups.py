"""The tables of Unified Procedure Step: workitems, who is subscribed, and what each of these is told.

`workitem` holds the data set as JSON (`values`) beside the columns that questions are narrowed down by. A row stays for
ever, so that what was here and was deleted is told from what never was; `gone` says that its content is deleted, which
leaves nothing of its patient. `workitem_name` holds each group of a patient's name, so that a name alone narrows down.
"""

from __future__ import annotations

import sqlalchemy as sa

from vesalius.backends.schema_base import BIG, TEXT, count, metadata, ref, row_id, text

workitem = sa.Table(
    "workitem",
    metadata,
    row_id(),
    sa.Column("uid", TEXT, nullable=False, unique=True),
    text("state"),
    text("lock"),
    text("at"),
    text("changed_at"),
    text("creator"),
    text("patient_id"),
    text("study"),
    text("label"),
    text("start"),
    count("gone"),
    text("data"),  # JSON: tag -> values
    sa.Index("ix_workitem_state", "state", "start"),
    sa.Index("ix_workitem_patient_id", "patient_id"),
    sa.Index("ix_workitem_study", "study"),
    sqlite_autoincrement=True,
)

workitem_name = sa.Table(
    "workitem_name",
    metadata,
    sa.Column("name", TEXT, primary_key=True),  # a group of it, folded as in `model/names.py`
    sa.Column("workitem", BIG, primary_key=True, autoincrement=False),
    sa.Index("ix_workitem_name_workitem", "workitem"),
)

workitem_subscription = sa.Table(
    "workitem_subscription",
    metadata,
    ref("workitem_ref", "workitem", primary_key=True),
    sa.Column("aet", TEXT, primary_key=True),
    count("locked"),
    text("origin"),  # "" | "global" | "filtered"
    sa.Index("ix_workitem_subscription_aet", "aet"),
)

workitem_global = sa.Table(
    "workitem_global",
    metadata,
    sa.Column("aet", TEXT, primary_key=True),
    sa.Column("filtered", BIG, primary_key=True, autoincrement=False),
    count("locked"),
    text("keys"),  # JSON: what the workitems have to match
)

workitem_report = sa.Table(
    "workitem_report",
    metadata,
    row_id(),
    text("aet"),
    text("workitem"),
    count("kind"),
    text("data"),
    text("at"),
    text("told"),  # "": still to be told to a DICOM receiver
    sa.Index("ix_workitem_report_aet", "aet", "told", "id"),
    sa.Index("ix_workitem_report_at", "at"),
    sqlite_autoincrement=True,  # readers remember the last id they saw
)

workitem_reader = sa.Table(
    "workitem_reader",
    metadata,
    sa.Column("aet", TEXT, primary_key=True),
    count("last_report"),
)
