"""What page and server say to each other, validated at the door (pydantic).

Every number is bounded and every text is short and free of control signs, so that nothing that passes here can be
refused by a database; what an answer may hold is the design's to say.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Text = Annotated[str, StringConstraints(max_length=200, pattern=r"^[\x20-\x7e]*$")]
Pixels = Annotated[int, Field(ge=0, le=100_000)]
Ratio = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Milliseconds = Annotated[int, Field(ge=0, le=7 * 24 * 3600 * 1000)]


class Message(BaseModel):
    """Unknown fields are an error: a page of another version must not be half understood."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Arriving(Message):
    """A page was opened.

    Attributes:
        parameters: those of its address, as the marketplace wrote them.
        visitor: made by the page, for a rater whom the address does not name.
    """

    parameters: Annotated[dict[Text, Text], Field(max_length=20)]
    visitor: Annotated[UUID, Field(strict=False)]


class Consenting(Arriving):
    """The rater agrees to the text of this version."""

    consent_version: Text


class Screen(Message):
    """What the page could find out about the screen; CSS pixels.

    Attributes:
        zoom: of the page, where the browser tells.
        pixels_per_mm: CSS pixels a millimetre, where a card was held against the screen.
        unsuitable: the rater says that it cannot be mended.
    """

    viewport_width: Pixels
    viewport_height: Pixels
    screen_width: Pixels
    screen_height: Pixels
    device_pixel_ratio: Ratio
    colour_depth: Annotated[int, Field(ge=0, le=128)]
    zoom: Ratio | None = None
    pixels_per_mm: Ratio | None = None
    framed: bool = False
    touch: bool = False
    unsuitable: bool = False


class Answer(Message):
    """One trial's answer; ``client_uuid`` makes it once however often it is sent."""

    index: Annotated[int, Field(ge=0, le=100_000)]
    client_uuid: Annotated[UUID, Field(strict=False)]
    answer: Annotated[dict[Text, Any], Field(max_length=20)]
    reaction_ms: Milliseconds
    viewport_width: Pixels
    viewport_height: Pixels
    device_pixel_ratio: Ratio


class Picture(BaseModel):
    """Where a picture is, and its size in pixels."""

    url: str
    width: int
    height: int


class ShownTrial(BaseModel):
    """A trial as the page may know it: the question in words, nothing of what is expected or judges the rater."""

    index: int
    training: bool
    question: str
    shown: list[Picture]
    reference: Picture | None


class Completion(BaseModel):
    """How the rater hands the work in: a code, an address to go to, or a form to post there.

    Attributes:
        fields: of the form; none where the address is a plain link.
    """

    code: str
    url: str = ""
    fields: dict[str, str] = Field(default_factory=dict)


class SessionView(BaseModel):
    """Where a session stands.

    Attributes:
        session: number of the session, under which the page keeps what is not sent yet.
        next: index of the trial to answer; None before the screen check and after the last.
        trials: all from ``next`` on.
    """

    token: str
    session: int
    state: Literal["consented", "training", "active", "submitted", "screened-out"]
    next: int | None
    total: int
    trials: list[ShownTrial]
    completion: Completion | None = None


class ScreenView(BaseModel):
    """Where the session stands after the screen check; ``problems``: what the screen lacks, in words."""

    state: str
    problems: list[str]


class ArrivalView(BaseModel):
    """What a newly opened page should show; ``preview``: the rater has not taken the work yet."""

    preview: bool
    session: SessionView | None


class Feedback(BaseModel):
    """To a training trial."""

    correct: bool | None
    expected: dict[str, Any] | None


class AnswerView(BaseModel):
    """An answer that is on the disk, or was before."""

    next: int | None
    state: str
    feedback: Feedback | None = None


class Refusal(BaseModel):
    """Why not; ``next`` where page and server disagree on where the session stands."""

    error: str
    next: int | None = None


class Health(BaseModel):
    """The server and its database answer."""

    status: Literal["ok"]
