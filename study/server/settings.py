"""All that the server must know of a study besides its rows in the database: words, screen, provider, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from urllib.parse import urlsplit

from study.contract import Design, DesignSettings
from study.wording import PAGE, filled


@dataclass(frozen=True)
class Scale:
    """One scale of an opinion score.

    Attributes:
        name: key in the answer's ``scores``.
        question: what is asked.
        labels: the steps in words, the lowest (score 1) first; their number is the length of the scale.
    """

    name: str
    question: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Words:
    """What raters read. Plain text; an empty line begins a paragraph.

    Attributes:
        title: of the study.
        consent, consent_version: what the rater agrees to; the version is stored with the agreement.
        questions: text of every question identifier of the trials.
        instructions: shown before the first trial.
        debrief: shown at the end.
        contact: whom to ask; may be empty.
        labels: of the answers, by their value in the answer: ``{"real": "Real", "fake": "Computer-made"}``.
        best, worst: the ends of a ranking.
        right, wrong: feedback to a training trial.
        scales: of a page with scales.
        page: all other text of the page, by the identifiers of ``study.wording.PAGE``.
        language: BCP 47 tag of all this.
    """

    title: str
    consent: str
    consent_version: str
    questions: Mapping[str, str]
    instructions: str = ""
    debrief: str = "Thank you for taking part."
    contact: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: {"real": "Real", "fake": "Fake"})
    best: str = "most realistic"
    worst: str = "least realistic"
    right: str = "That is right."
    wrong: str = "That is not right."
    scales: tuple[Scale, ...] = ()
    page: Mapping[str, str] = field(default_factory=lambda: PAGE)
    language: str = "en"

    def said(self, name: str, **values: object) -> str:
        """The text ``name`` of the page with ``values`` put in."""
        return filled(self.page[name], values)


@dataclass(frozen=True)
class ScreenRequirements:
    """What a rater's screen must have; checked before a slot is given.

    Attributes:
        width, height: of the browser's window, in CSS pixels; the longer of the two may lie either way.
        colour_depth: bits a pixel.
        zoom: largest zoom of the page, 1 = 100 %; None where any will do. Judged only where a browser tells.
        card: whether the rater holds a bank card (ISO/IEC 7810 ID-1, 85.60 mm wide) against the screen, which
            gives the size of a pixel.
    """

    width: int = 320
    height: int = 480
    colour_depth: int = 24
    zoom: float | None = None
    card: bool = False


@dataclass(frozen=True)
class Limits:
    """Requests that one sender may make; see ``study.server.limits``.

    Attributes:
        address_rate, address_burst: of an address, a second and at once; many raters may share one address.
        session_rate, session_burst: of one rater's session.
        body_bytes: of one request.
    """

    address_rate: float = 50.0
    address_burst: int = 500
    session_rate: float = 5.0
    session_burst: int = 60
    body_bytes: int = 32_768


class PictureStore(Protocol):
    """Where pages load pictures from, if not from this server; used from many threads."""

    @property
    def origin(self) -> str:
        """Of all addresses, ``https://host``: the one from which the page may load pictures besides its own."""

    def address(self, name: str) -> str:
        """What a page loads the picture called ``name`` from, good for as long as a session."""


@dataclass(frozen=True)
class AddressBefore:
    """Pictures whose addresses are one text and their names.

    Attributes:
        base: the text, ``https://…/stimuli``.
    """

    base: str

    @property
    def origin(self) -> str:
        """Of all addresses."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}"

    def address(self, name: str) -> str:
        """Of the picture called ``name``."""
        return f"{self.base.rstrip('/')}/{name}"


@dataclass(frozen=True)
class ServerSettings:
    """One study, as it is served.

    Attributes:
        study: name in the database.
        design: lays trials out and reads answers.
        design_settings: what it needs of the study file.
        words: what raters read.
        screen: what their screens must have.
        provider: whence raters come: ``local``, ``prolific`` or ``mturk``; see ``study.server.arrivals``.
        key: secret of this installation, ``study.pseudonyms.secret_key()``.
        completion_code: one for all raters (Prolific); empty for a code of each rater's own.
        screen_out_code: for raters whose screen will not do; may be empty.
        frame_ancestors: origins that may embed the page; none, and nobody may.
        pictures: where they were published; None to serve them from the folder.
        kiosk: the same screen serves one rater after another; nothing of one may be left for the next.
        lease: how long a slot is kept for a rater who is silent.
        session_life: how long a token is good for.
        limits: of requests.
    """

    study: str
    design: Design
    design_settings: DesignSettings
    words: Words
    key: bytes = field(repr=False)
    screen: ScreenRequirements = ScreenRequirements()
    provider: str = "local"
    completion_code: str = ""
    screen_out_code: str = ""
    frame_ancestors: tuple[str, ...] = ()
    pictures: PictureStore | None = None
    kiosk: bool = False
    lease: timedelta = timedelta(hours=1)
    session_life: timedelta = timedelta(days=2)
    limits: Limits = Limits()
