"""Who is at the door: what the address of the page says about the rater, marketplace by marketplace.

=========  ==============================================  ==========================================================
provider   parameters of the address                       at the end
=========  ==============================================  ==========================================================
local      ``rater`` and its signature ``key``, or nothing  a code to show
prolific   ``PROLIFIC_PID``, ``SESSION_ID``, ``STUDY_ID``    the link that returns to Prolific with the code
mturk      ``workerId``, ``assignmentId``, ``hitId``,        a form that is posted to ``turkSubmitTo``
           ``turkSubmitTo``
=========  ==============================================  ==========================================================

A link of our own names a rater only with a signature, because names such as ``P07`` can be guessed; without a name the
rater is nobody in particular, and each opening of the page is a new one. Prolific's and Mechanical Turk's ids are long
and known to the rater alone.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from recon.errors import InputError, UsageError
from study.server.messages import Completion

PROVIDERS = ("local", "prolific", "mturk")

PROLIFIC_COMPLETE = "https://app.prolific.com/submissions/complete"

MTURK_ORIGINS = ("https://www.mturk.com", "https://workersandbox.mturk.com")
"""Where a finished HIT may be posted; ``turkSubmitTo`` of any other origin is refused."""

MTURK_PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"

# Mechanical Turk shows an ExternalQuestion inside its workers' page; Prolific opens a window of its own.
FRAME_ANCESTORS: Mapping[str, tuple[str, ...]] = {
    "mturk": ("https://worker.mturk.com", "https://workersandbox.mturk.com")
}

FORM_ORIGINS = {"local": (), "prolific": (), "mturk": MTURK_ORIGINS}


@dataclass(frozen=True)
class Arrival:
    """A rater at the door.

    Attributes:
        raw_id: of the marketplace; empty for a visitor without a name.
        assignment: the marketplace's name of this session; may be empty.
        preview: looks before taking the work; nothing may be written.
        submit_to: origin that awaits the result; may be empty.
    """

    raw_id: str
    assignment: str = ""
    preview: bool = False
    submit_to: str = ""


def read_arrival(provider: str, parameters: Mapping[str, str], key: bytes, study: str) -> Arrival:
    """What the address says.

    Raises:
        InputError: it does not name a rater as the provider does.
        UsageError: the provider is unknown.
    """
    if provider == "local":
        return _local(parameters, key, study)
    if provider == "prolific":
        return _prolific(parameters)
    if provider == "mturk":
        return _mturk(parameters)
    raise UsageError(f"there are no raters of '{provider}': known are {', '.join(PROVIDERS)}.")


def _local(parameters: Mapping[str, str], key: bytes, study: str) -> Arrival:
    rater = parameters.get("rater", "")
    signature = parameters.get("key", "").encode()  # whatever somebody typed
    if rater and not hmac.compare_digest(rater_signature(key, study, rater).encode(), signature):
        raise InputError("this link is not complete: open the study through the whole link that you were given.")
    return Arrival(raw_id=rater)


def _prolific(parameters: Mapping[str, str]) -> Arrival:
    person, session = parameters.get("PROLIFIC_PID", ""), parameters.get("SESSION_ID", "")
    if not person or not session:
        raise InputError("Prolific did not name you to this page: open the study from Prolific's own page.")
    return Arrival(raw_id=person, assignment=session)


def _mturk(parameters: Mapping[str, str]) -> Arrival:
    worker, assignment = parameters.get("workerId", ""), parameters.get("assignmentId", "")
    if assignment == MTURK_PREVIEW:
        return Arrival(raw_id="", preview=True)
    if not worker or not assignment:
        raise InputError("Mechanical Turk did not name you to this page: accept the HIT there, and work inside it.")
    address = urlsplit(parameters.get("turkSubmitTo", ""))
    origin = f"{address.scheme}://{address.netloc}"
    if origin not in MTURK_ORIGINS:
        raise InputError("this HIT would be posted to an unknown place: accept it on Mechanical Turk's own page.")
    return Arrival(raw_id=worker, assignment=assignment, submit_to=origin)


def completion(provider: str, arrival: Arrival, code: str) -> Completion:
    """How the rater hands ``code`` in."""
    if provider == "prolific":
        return Completion(code=code, url=f"{PROLIFIC_COMPLETE}?{urlencode({'cc': code})}")
    if provider == "mturk":
        # The endpoint takes a form with the assignment and at least one more field.
        fields = {"assignmentId": arrival.assignment, "completion_code": code}
        return Completion(code=code, url=f"{arrival.submit_to}/mturk/externalSubmit", fields=fields)
    return Completion(code=code)


def rater_signature(key: bytes, study: str, rater: str) -> str:
    """The ``key`` that makes a link of our own good for ``rater``: 32 hexadecimal digits."""
    message = "\0".join(("mesoface study rater link", study, rater)).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:32]


def rater_link(base: str, key: bytes, study: str, rater: str) -> str:
    """The address to give to ``rater``."""
    return f"{base.rstrip('/')}/?{urlencode({'rater': rater, 'key': rater_signature(key, study, rater)})}"
