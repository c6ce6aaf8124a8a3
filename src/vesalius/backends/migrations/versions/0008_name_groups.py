"""Further groups of patients' names (ideographic, phonetic), so that a beginning is found in any of them.

A frozen copy, as 0001.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
BIG: Any = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Forward only. `ris_patient.name` is folded already: its groups are parted by `=`."""
    made = op.create_table(
        "ris_patient_group",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("patient", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", "patient", name="pk_ris_patient_group"),
    )
    op.create_index("ix_ris_patient_group_patient", "ris_patient_group", ["patient"])
    bind = op.get_bind()
    found = bind.execute(sa.text("SELECT id, name FROM ris_patient WHERE name LIKE '%=%'")).all()
    rows = [{"name": name, "patient": patient} for patient, whole in found for name in {*whole.split("=")[1:]} if name]
    for start in range(0, len(rows), 500):
        bind.execute(sa.insert(made), rows[start : start + 500])
