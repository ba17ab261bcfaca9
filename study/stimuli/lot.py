"""Who is shown where ``stimuli.people`` says how many: by lot among the people of whom every picture can be made.

People whose licence forbids it, whose head is turned too far, whose face is too small, or of whom a result or a view is
missing, are drawn only where the others do not suffice; what they lack is then a gap of the catalogue, with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from recon.errors import InputError
from study.designs.balance import shuffled
from study.stimuli.frame import frame_of
from study.stimuli.material import Person
from study.stimuli.order import StimuliOrder
from study.stimuli.split_face import check_turned


def drawn_people(order: StimuliOrder, people: Sequence[Person]) -> list[Person]:
    """Of ``people`` those whom the order shows, in the same order; all of them where it names them or no number.

    The people for training are shown whatever the lot says. Who is drawn follows from the order's seed.
    """
    if order.subjects or order.people is None:
        return list(people)
    others = sorted({person.subject for person in people} - {*order.training_subjects})
    fit = {person.subject for person in people if not why_not_shown(order, person)}
    lot = sorted(shuffled(others, order.seed, "people"), key=lambda subject: subject not in fit)
    shown = {*lot[: order.people], *order.training_subjects}
    return [person for person in people if person.subject in shown]


def why_not_shown(order: StimuliOrder, person: Person) -> str:
    """What stands against showing ``person`` as the order asks; no picture is decoded. Empty where nothing does."""
    if person.refused:
        return person.refused
    if person.missing:
        return "; ".join(f"{condition}: {why}" for condition, why in person.missing.items())
    if person.landmarks is None:
        return "there is no finished fit"
    if not order.over_photograph:
        return ""
    try:
        with Image.open(person.photograph) as photograph:
            frame = frame_of(person.landmarks, photograph.size, (order.width, order.height))
        if order.composition == "split":
            check_turned(frame)
    except (InputError, OSError) as error:  # of whoever is shown ``study.stimuli.build`` says it, too
        return str(error)
    return ""
