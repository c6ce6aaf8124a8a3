"""Numbers as they were written, where that is another way than the index writes them (`001`, `1.50`).

A frozen copy, as 0001. Empty until the index is made again (`vesalius reindex`).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

TEXT: Any = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")

ADDED = {
    "study": "patient_size patient_weight",
    "series": "series_number",
    "instance": (
        "instance_number slice_thickness kvp spacing_between_slices x_ray_tube_current exposure acquisition_number "
        "temporal_position_identifier slice_location number_of_frames rescale_intercept rescale_slope"
    ),
}


def upgrade() -> None:
    """Forward only."""
    for table, names in ADDED.items():
        for name in names.split():
            op.add_column(table, sa.Column(f"{name}_sent", TEXT))
