"""The next free slot is found without a look at all that are done.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OPEN = sa.text("state <> 'done'")


def upgrade() -> None:
    op.create_index("ix_slot_open", "slot", ["study_id", "number"], postgresql_where=OPEN, sqlite_where=OPEN)
    # It held the end of the lease, which changes while raters answer: every change was written into it.
    op.drop_index("ix_slot_study_id_state", "slot")


def downgrade() -> None:
    op.create_index("ix_slot_study_id_state", "slot", ["study_id", "state", "lease_expires_at"])
    op.drop_index("ix_slot_open", "slot")
