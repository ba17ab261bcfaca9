"""The tables of studies, and what the database itself refuses.

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
# From the table that is referred to to the one that refers; dropped the other way round.
TABLES = ("study", "stimulus", "slot", "participant", "worker_contact", "hit", "assignment", "trial", "response",
          "qa_decision", "payment")  # fmt: skip
APPEND_ONLY = ("response", "qa_decision")


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("design", sa.String(length=40), nullable=False),
        sa.Column("specification", JSON, nullable=False),
        sa.Column("specification_sha256", sa.String(length=64), nullable=False),
        sa.Column("made_with", sa.String(length=80), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("cap_cents", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=True),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.CheckConstraint("state IN ('draft', 'open', 'paused', 'closed')", name=op.f("ck_study_state")),
        sa.CheckConstraint("cap_cents >= 0", name=op.f("ck_study_cap_cents")),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", name="uq_study_name"),
    )
    op.create_table(
        "hit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("provider_id", sa.String(length=200), nullable=True),
        sa.Column("request_token", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("assignments", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_hit_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_hit"),
        sa.UniqueConstraint("provider", "provider_id", name="uq_hit_provider_provider_id"),
        sa.UniqueConstraint("request_token", name="uq_hit_request_token"),
    )
    op.create_index("ix_hit_study_id", "hit", ["study_id"], unique=False)
    op.create_table(
        "participant",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("pseudonym", sa.String(length=64), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_participant_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_participant"),
        sa.UniqueConstraint("study_id", "provider", "pseudonym", name="uq_participant_study_id_provider_pseudonym"),
    )
    op.create_index("ix_participant_study_id", "participant", ["study_id"], unique=False)
    op.create_table(
        "slot",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.CheckConstraint("state IN ('free', 'leased', 'done')", name=op.f("ck_slot_state")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_slot_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_slot"),
        sa.UniqueConstraint("study_id", "number", name="uq_slot_study_id_number"),
    )
    op.create_index("ix_slot_study_id_state", "slot", ["study_id", "state", "lease_expires_at"], unique=False)
    op.create_table(
        "stimulus",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=20), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("composition", sa.String(length=16), nullable=False),
        sa.Column("condition", sa.String(length=80), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("run", sa.String(length=200), nullable=False),
        sa.Column("protocol", sa.String(length=40), nullable=False),
        sa.Column("view", sa.String(length=80), nullable=False),
        sa.Column("licence", sa.String(), nullable=False),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_stimulus_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_stimulus"),
        sa.UniqueConstraint("study_id", "sha256", name="uq_stimulus_study_id_sha256"),
    )
    op.create_index("ix_stimulus_study_id", "stimulus", ["study_id"], unique=False)
    op.create_table(
        "assignment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("slot_id", sa.Integer(), nullable=True),
        sa.Column("hit_id", sa.Integer(), nullable=True),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("provider_assignment_id", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("provider_state", sa.String(length=40), nullable=False),
        sa.Column("consent_version", sa.String(length=40), nullable=False),
        sa.Column("consented_at", MOMENT, nullable=False),
        sa.Column("screen", JSON, nullable=True),
        sa.Column("completion_code", sa.String(length=40), nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "state IN ('consented', 'training', 'active', 'submitted', 'abandoned', 'screened-out')",
            name=op.f("ck_assignment_state"),
        ),
        sa.ForeignKeyConstraint(["hit_id"], ["hit.id"], name="fk_assignment_hit_id_hit"),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participant.id"], name="fk_assignment_participant_id_participant"
        ),
        sa.ForeignKeyConstraint(["slot_id"], ["slot.id"], name="fk_assignment_slot_id_slot"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_assignment_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_assignment"),
        sa.UniqueConstraint("provider", "provider_assignment_id", name="uq_assignment_provider_provider_assignment_id"),
        sa.UniqueConstraint("study_id", "participant_id", name="uq_assignment_study_id_participant_id"),
    )
    op.create_index("ix_assignment_hit_id", "assignment", ["hit_id"], unique=False)
    op.create_index("ix_assignment_slot_id", "assignment", ["slot_id"], unique=False)
    op.create_index("ix_assignment_study_id", "assignment", ["study_id"], unique=False)
    op.create_table(
        "worker_contact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Integer(), nullable=False),
        sa.Column("raw_id", sa.String(length=200), nullable=False),
        sa.Column("delete_after", sa.Date(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participant.id"], name="fk_worker_contact_participant_id_participant"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_worker_contact"),
        sa.UniqueConstraint("participant_id", name="uq_worker_contact_participant_id"),
    )
    op.create_index("ix_worker_contact_delete_after", "worker_contact", ["delete_after"], unique=False)
    op.create_table(
        "payment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("amount_cents", sa.Integer(), nullable=False),
        sa.Column("fee_cents", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("request_token", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("provider_reference", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('reward', 'bonus')", name=op.f("ck_payment_kind")),
        sa.CheckConstraint("state IN ('planned', 'sent', 'confirmed', 'failed')", name=op.f("ck_payment_state")),
        sa.CheckConstraint("amount_cents >= 0 AND fee_cents >= 0", name=op.f("ck_payment_cents")),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name="fk_payment_assignment_id_assignment"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_payment_study_id_study"),
        sa.PrimaryKeyConstraint("id", name="pk_payment"),
        sa.UniqueConstraint("request_token", name="uq_payment_request_token"),
    )
    op.create_index("ix_payment_assignment_id", "payment", ["assignment_id"], unique=False)
    op.create_index("ix_payment_study_id", "payment", ["study_id"], unique=False)
    op.create_table(
        "qa_decision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("pay", sa.Boolean(), nullable=False),
        sa.Column("use", sa.Boolean(), nullable=False),
        sa.Column("reasons", JSON, nullable=False),
        sa.Column("decided_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name="fk_qa_decision_assignment_id_assignment"),
        sa.PrimaryKeyConstraint("id", name="pk_qa_decision"),
    )
    op.create_index("ix_qa_decision_assignment_id", "qa_decision", ["assignment_id"], unique=False)
    op.create_table(
        "trial",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("assignment_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(length=16), nullable=False),
        sa.Column("question", sa.String(length=40), nullable=False),
        sa.Column("shown", JSON, nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("expected", JSON, nullable=True),
        sa.CheckConstraint("part IN ('training', 'main', 'gold', 'attention')", name=op.f("ck_trial_part")),
        sa.ForeignKeyConstraint(["assignment_id"], ["assignment.id"], name="fk_trial_assignment_id_assignment"),
        sa.PrimaryKeyConstraint("id", name="pk_trial"),
        sa.UniqueConstraint("assignment_id", "index", name="uq_trial_assignment_id_index"),
    )
    op.create_table(
        "response",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("client_uuid", sa.String(length=36), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("reaction_ms", sa.Integer(), nullable=False),
        sa.Column("viewport_width", sa.Integer(), nullable=False),
        sa.Column("viewport_height", sa.Integer(), nullable=False),
        sa.Column("device_pixel_ratio", sa.Double(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_response_trial_id_trial"),
        sa.PrimaryKeyConstraint("id", name="pk_response"),
        sa.UniqueConstraint("client_uuid", name="uq_response_client_uuid"),
        sa.UniqueConstraint("trial_id", name="uq_response_trial_id"),
    )
    if op.get_bind().dialect.name == "postgresql":
        guard_on_postgresql()
    else:
        guard_on_sqlite()


def guard_on_sqlite() -> None:
    """Answers and decisions are never changed; people and models never meet in one study."""
    for table in APPEND_ONLY:
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    op.execute(
        "CREATE TRIGGER participant_kind BEFORE INSERT ON participant "
        "WHEN NEW.simulated <> (SELECT simulated FROM study WHERE id = NEW.study_id) "
        "BEGIN SELECT RAISE(ABORT, 'simulated raters and people never share a study'); END"
    )
    for table in ("study", "participant"):
        op.execute(
            f"CREATE TRIGGER {table}_kind_stays BEFORE UPDATE OF simulated ON {table} "
            "WHEN NEW.simulated <> OLD.simulated "
            "BEGIN SELECT RAISE(ABORT, 'simulated raters and people never share a study'); END"
        )


def guard_on_postgresql() -> None:
    """As on SQLite; TRUNCATE, which has no rows, is refused too."""
    op.execute(
        "CREATE FUNCTION mesoface_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation'; "
        "END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION mesoface_append_only()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mesoface_append_only()"
        )
    refused = (
        "RAISE EXCEPTION 'simulated raters and people never share a study' "
        "USING ERRCODE = 'integrity_constraint_violation';"
    )
    op.execute(
        "CREATE FUNCTION mesoface_same_kind() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.simulated <> (SELECT simulated FROM study WHERE id = NEW.study_id) THEN {refused} END IF; "
        "RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER participant_kind BEFORE INSERT ON participant "
        "FOR EACH ROW EXECUTE FUNCTION mesoface_same_kind()"
    )
    op.execute(
        "CREATE FUNCTION mesoface_kind_stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.simulated <> OLD.simulated THEN {refused} END IF; RETURN NEW; END $$"
    )
    for table in ("study", "participant"):
        op.execute(
            f"CREATE TRIGGER {table}_kind_stays BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION mesoface_kind_stays()"
        )


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)  # its triggers and indices go with it
    if op.get_bind().dialect.name == "postgresql":
        for function in ("mesoface_append_only", "mesoface_same_kind", "mesoface_kind_stays"):
            op.execute(f"DROP FUNCTION {function}()")
