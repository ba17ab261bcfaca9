"""A study knows which secret key its raters' pseudonyms are made with.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Both systems add and drop a column in place, so the triggers of the table stay.
    op.add_column("study", sa.Column("key_check", sa.String(length=16), nullable=True))


def downgrade() -> None:
    op.drop_column("study", "key_check")
