"""Each provider with a marketplace behind it, in which tests let raters arrive; used by the conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fake_mturk import FakeMTurk
from fake_prolific import TOKEN, FakeProlific
from sqlalchemy import Engine, select
from study_rows import add_assignment

from study.database import AssignmentRow, HitRow, ParticipantRow, StudyRow, WorkerContactRow, now
from study.engine import transaction
from study.providers.contract import Posting, Provider, ProviderSettings
from study.providers.http import JsonClient
from study.providers.local import LocalProvider
from study.providers.mturk import MTurkProvider, open_mturk
from study.providers.prolific import ProlificProvider

REASON = "The three attention checks of this study were all answered otherwise than their text asked, in plain words."


@dataclass
class Stage:
    """A provider, and what stands behind it.

    Attributes:
        open: a new provider over the same marketplace, as after a crash; ``live`` or not.
        arrive: raters take places of a posting and hand their work in; their submissions' ids.
        exposure: the most that the marketplace can charge for all that it was told, in cents.
        bonuses: cents of every bonus that it paid.
        posted: how many postings it holds that raters can see, or could see.
        market: the fake, where there is one.
    """

    engine: Engine
    open: Callable[[bool], Provider]
    arrive: Callable[[str, list[str]], list[str]]
    exposure: Callable[[], int]
    bonuses: Callable[[], list[int]]
    posted: Callable[[], int]
    market: Any = None
    waits: list[float] = field(default_factory=list)


def posting(name: str = "trial", token: str = "t" * 64, places: int = 3, reward_cents: int = 150) -> Posting:
    """A study of some places."""
    return Posting(
        study=name, token=token, title="Which face is real?", description="Faces.", url="https://study.example/s/",
        places=places, reward_cents=reward_cents, completion_code="DONE",
    )  # fmt: skip


def local_stage(engine: Engine) -> Stage:
    """Our own raters."""

    def arrive(posting_id: str, people: list[str]) -> list[str]:
        with transaction(engine) as session:
            hit = session.scalars(select(HitRow).where(HitRow.provider_id == posting_id)).one()
            study = session.get_one(StudyRow, hit.study_id)
            rows = [add_assignment(session, study, None, pseudonym=person) for person in people]
            for row in rows:
                row.state = "submitted"
            session.flush()
            return [f"local-{row.id}" for row in rows]

    def posted() -> int:
        with transaction(engine) as session:
            return len(session.scalars(select(HitRow).where(HitRow.provider_id.is_not(None))).all())

    def open_provider(live: bool) -> Provider:
        return LocalProvider(ProviderSettings(live=live, engine=engine))

    return Stage(engine, open_provider, arrive, lambda: 0, list, posted)


def prolific_stage(engine: Engine) -> Stage:
    """Prolific, its fake."""
    fake = FakeProlific()
    waits: list[float] = []

    def open_provider(live: bool) -> ProlificProvider:
        return ProlificProvider(JsonClient("Prolific", f"{fake.address}/api/v1", "Token", TOKEN, waits.append), live)

    return Stage(
        engine=engine,
        open=open_provider,
        arrive=lambda posting_id, people: [fake.arrive(posting_id, person) for person in people],
        exposure=fake.exposure_cents,
        bonuses=lambda: [cents for _, cents in fake.paid],
        posted=lambda: len(fake.studies),
        market=fake,
        waits=waits,
    )


def mturk_stage(engine: Engine) -> Stage:
    """Mechanical Turk, its fake, through a real boto3 client (credentials of the test's environment)."""
    fake = FakeMTurk()

    def open_provider(live: bool) -> MTurkProvider:
        # One attempt a call: waiting between attempts is boto3's own, and would only cost time here.
        return open_mturk(ProviderSettings(live=live, endpoint=fake.address, options={"attempts": 1}))

    return Stage(
        engine=engine,
        open=open_provider,
        arrive=lambda posting_id, people: [fake.arrive(posting_id, person) for person in people],
        exposure=fake.exposure_cents,
        bonuses=lambda: [round(float(bonus["BonusAmount"]) * 100) for bonus in fake.bonuses],
        posted=lambda: len(fake.hits),
        market=fake,
    )


STAGES: dict[str, Callable[[Engine], Stage]] = {
    "local": local_stage,
    "prolific": prolific_stage,
    "mturk": mturk_stage,
}


def add_session(engine: Engine, study: str, provider: str, submission: str, person: str, posting_id: str) -> int:
    """The row of a rater who came from a marketplace, as the server writes it, with the raw id kept apart."""
    with transaction(engine) as session:
        if submission.startswith("local-"):
            row = session.get_one(AssignmentRow, int(submission.removeprefix("local-")))
            return row.id
        owner = session.scalars(select(StudyRow).where(StudyRow.name == study)).one()
        hit = session.scalars(select(HitRow).where(HitRow.provider_id == posting_id)).one()
        participant = ParticipantRow(study_id=owner.id, provider=provider, pseudonym=person)
        session.add(participant)
        session.flush()
        session.add(WorkerContactRow(participant_id=participant.id, raw_id=person, delete_after=now().date()))
        row = AssignmentRow(
            study_id=owner.id, participant_id=participant.id, hit_id=hit.id, provider=provider, state="submitted",
            provider_assignment_id=submission, consent_version="1", consented_at=now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        return row.id
