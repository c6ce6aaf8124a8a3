"""A checksum that costs a reader next to nothing (XXH3-128), beside the digest of record.

What was stored before has none: it is read by its SHA-256, as until now. A frozen copy, as 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Forward only."""
    op.add_column("instance", sa.Column("xxh3", sa.LargeBinary()))
