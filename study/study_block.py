"""What the parts of a study file share: their strictness, their kinds of values, and how two fields contradict."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# As long as its column in the database.
Short = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=80)]
Cents = Annotated[int, Field(ge=0, le=2**31 - 1)]


class Block(BaseModel):
    """A part of the file: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def wrong(at: str, text: str) -> PydanticCustomError:
    """What fields say together; ``at`` names the one to look at."""
    return PydanticCustomError("study", "{text}", {"text": text, "at": at})
