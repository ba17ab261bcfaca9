"""The database of what people do: typed tables (SQLAlchemy 2), on SQLite by default and PostgreSQL by URL.

::

    study ── stimulus                 the pictures, each named by the sha256 of its bytes
      ├── slot                        a place for one rater: its number fixes order and sides; leased, with expiry
      ├── participant ── worker_contact     a keyed pseudonym; the raw id stands alone, and can be erased
      ├── hit                         what was posted to a marketplace
      └── assignment                  one rater's session: local and marketplace's state apart
            ├── trial ── response     what was shown, in which order; what was answered (append-only)
            ├── qa_decision           pay and use, apart, with reasons (append-only)
            └── payment               integer cents, with a token that makes it happen once

``alembic/`` migrates it; a test fails where these tables and the migrations differ. Times are UTC. Money is integer
minor units (cents) of the study's currency.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

STUDY_STATES = ("draft", "open", "paused", "closed")
SLOT_STATES = ("free", "leased", "done")
ASSIGNMENT_STATES = ("consented", "training", "active", "submitted", "abandoned", "screened-out")
PAYMENT_STATES = ("planned", "sent", "confirmed", "failed")
PAYMENT_KINDS = ("reward", "bonus")
IMPORTED = "batch result"
"""``consent_version`` of imported sessions: what their raters agreed to stood on the marketplace's page."""
PARTS = ("training", "main", "gold", "attention")

Json = JSON().with_variant(JSONB(), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware in Python on every database; SQLite stores it without the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware moments alone: a naive one would mean something else on another machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Base(DeclarativeBase):
    """Names of constraints follow a rule, so that migrations can name what they change."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, dict[str, Any]: Json, list[Any]: Json}  # noqa: RUF012


class StudyRow(Base):
    """A study as it was launched.

    Attributes:
        name: unique; what commands take.
        specification: the study file as validated, with every default written out; ``specification_sha256`` of it.
        simulated: its raters are models; a study of people can never become one, nor the other way.
        cap_cents: no call that costs may pass it.
        key_check: tells the secret key of its pseudonyms from another, ``study.pseudonyms.key_check``; None before the
            study was served or launched with a mesoface that writes it.
    """

    __tablename__ = "study"
    __table_args__ = (_one_of("state", STUDY_STATES), CheckConstraint("cap_cents >= 0", name="cap_cents"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    design: Mapped[str] = mapped_column(String(40))
    specification: Mapped[dict[str, Any]]
    specification_sha256: Mapped[str] = mapped_column(String(64))
    made_with: Mapped[str] = mapped_column(String(80))
    seed: Mapped[int]
    provider: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16), default="draft")
    simulated: Mapped[bool] = mapped_column(default=False)
    currency: Mapped[str] = mapped_column(String(3), default="USD")
    cap_cents: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    opened_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    key_check: Mapped[str | None] = mapped_column(String(16))

    stimuli: Mapped[list[StimulusRow]] = relationship(back_populates="study", order_by="StimulusRow.id")
    slots: Mapped[list[SlotRow]] = relationship(back_populates="study", order_by="SlotRow.number")


class StimulusRow(Base):
    """A picture of a study; see ``study.contract.Stimulus`` for the fields."""

    __tablename__ = "stimulus"
    __table_args__ = (UniqueConstraint("study_id", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    sha256: Mapped[str] = mapped_column(String(64))
    media_type: Mapped[str] = mapped_column(String(20))
    width: Mapped[int]
    height: Mapped[int]
    composition: Mapped[str] = mapped_column(String(16))
    condition: Mapped[str] = mapped_column(String(80))
    subject: Mapped[str] = mapped_column(String(120))
    run: Mapped[str] = mapped_column(String(200))
    protocol: Mapped[str] = mapped_column(String(40))
    view: Mapped[str] = mapped_column(String(80))
    licence: Mapped[str]
    degraded: Mapped[bool] = mapped_column(default=False)
    result: Mapped[str] = mapped_column(String(64), default="")

    study: Mapped[StudyRow] = relationship(back_populates="stimuli")


_OPEN = text("state <> 'done'")


class SlotRow(Base):
    """A place for one rater. ``leased`` until ``lease_expires_at``, then it is free for another."""

    __tablename__ = "slot"
    __table_args__ = (
        UniqueConstraint("study_id", "number"),
        _one_of("state", SLOT_STATES),
        Index("ix_slot_open", "study_id", "number", postgresql_where=_OPEN, sqlite_where=_OPEN),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="free")
    lease_expires_at: Mapped[datetime | None]

    study: Mapped[StudyRow] = relationship(back_populates="slots")


class ParticipantRow(Base):
    """A rater in one study: HMAC-SHA256 of provider and raw id under a secret key, so studies cannot be joined."""

    __tablename__ = "participant"
    __table_args__ = (UniqueConstraint("study_id", "provider", "pseudonym"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    pseudonym: Mapped[str] = mapped_column(String(64))
    simulated: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class WorkerContactRow(Base):
    """The raw id that a marketplace needs to pay: nowhere else, and gone after ``delete_after``."""

    __tablename__ = "worker_contact"

    id: Mapped[int] = mapped_column(primary_key=True)
    participant_id: Mapped[int] = mapped_column(ForeignKey("participant.id"), unique=True)
    raw_id: Mapped[str] = mapped_column(String(200))
    delete_after: Mapped[date] = mapped_column(index=True)


class HitRow(Base):
    """What was posted to a marketplace (a HIT, a Prolific study), once for each request token."""

    __tablename__ = "hit"
    __table_args__ = (UniqueConstraint("provider", "provider_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    provider_id: Mapped[str | None] = mapped_column(String(200))
    request_token: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(40))
    live: Mapped[bool] = mapped_column(default=False)
    url: Mapped[str] = mapped_column(default="")
    assignments: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class AssignmentRow(Base):
    """One rater's session.

    Attributes:
        state: where the session stands for us; ``provider_state`` what the marketplace last said.
        screen: what the screen check found: size, zoom, colour depth, pixel pitch.
        completion_code: what the rater hands to the marketplace; set on submission.
    """

    __tablename__ = "assignment"
    __table_args__ = (
        UniqueConstraint("provider", "provider_assignment_id"),
        UniqueConstraint("study_id", "participant_id"),
        _one_of("state", ASSIGNMENT_STATES),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    participant_id: Mapped[int] = mapped_column(ForeignKey("participant.id"))
    slot_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id"), index=True)
    hit_id: Mapped[int | None] = mapped_column(ForeignKey("hit.id"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    provider_assignment_id: Mapped[str | None] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16), default="consented")
    provider_state: Mapped[str] = mapped_column(String(40), default="")
    consent_version: Mapped[str] = mapped_column(String(40))
    consented_at: Mapped[datetime]
    screen: Mapped[dict[str, Any] | None] = mapped_column(Json)
    completion_code: Mapped[str | None] = mapped_column(String(40))
    started_at: Mapped[datetime] = mapped_column(default=now)
    last_seen_at: Mapped[datetime] = mapped_column(default=now)
    submitted_at: Mapped[datetime | None]

    participant: Mapped[ParticipantRow] = relationship()
    slot: Mapped[SlotRow | None] = relationship()
    trials: Mapped[list[TrialRow]] = relationship(back_populates="assignment", order_by="TrialRow.index")


class TrialRow(Base):
    """What a rater is shown; laid out when the slot is leased, so that it is known even where no answer came."""

    __tablename__ = "trial"
    __table_args__ = (UniqueConstraint("assignment_id", "index"), _one_of("part", PARTS))

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"))
    index: Mapped[int]
    part: Mapped[str] = mapped_column(String(16))
    question: Mapped[str] = mapped_column(String(40))
    shown: Mapped[list[Any]]
    reference: Mapped[str] = mapped_column(String(64), default="")
    expected: Mapped[dict[str, Any] | None] = mapped_column(Json)

    assignment: Mapped[AssignmentRow] = relationship(back_populates="trials")
    response: Mapped[ResponseRow | None] = relationship(back_populates="trial")


class ResponseRow(Base):
    """One answer; never changed, never deleted (the database itself refuses). The client's UUID makes it once."""

    __tablename__ = "response"

    id: Mapped[int] = mapped_column(primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id"), unique=True)
    client_uuid: Mapped[str] = mapped_column(String(36), unique=True)
    answer: Mapped[dict[str, Any]]
    correct: Mapped[bool | None]
    reaction_ms: Mapped[int]
    viewport_width: Mapped[int]
    viewport_height: Mapped[int]
    device_pixel_ratio: Mapped[float]
    received_at: Mapped[datetime] = mapped_column(default=now)

    trial: Mapped[TrialRow] = relationship(back_populates="response")


class QaDecisionRow(Base):
    """Whether a session is paid and whether it is analysed, apart; the latest one holds."""

    __tablename__ = "qa_decision"

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"), index=True)
    pay: Mapped[bool]
    use: Mapped[bool]
    reasons: Mapped[list[Any]]
    decided_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(default=now)


class PaymentRow(Base):
    """Money promised or sent; ``request_token`` goes to the marketplace, so that a repeated call pays once."""

    __tablename__ = "payment"
    __table_args__ = (
        _one_of("state", PAYMENT_STATES),
        _one_of("kind", PAYMENT_KINDS),
        CheckConstraint("amount_cents >= 0 AND fee_cents >= 0", name="cents"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"), index=True)
    assignment_id: Mapped[int | None] = mapped_column(ForeignKey("assignment.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    amount_cents: Mapped[int]
    fee_cents: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    request_token: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16), default="planned")
    provider_reference: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
