"""${message}."""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Forward only: an older Vesalius restores its own backup."""
    ${upgrades if upgrades else "raise SystemExit('nothing to do')"}
