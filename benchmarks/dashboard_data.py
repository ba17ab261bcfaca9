"""What ``benchmarks/dashboard.py`` looks at: a made-up run with pictures and measurements, and a study of many answers.

The table has the columns and about the number of rows of a real one; pictures are small made-up faces, a few of them,
linked into every place, so that the dashboard has as many files to find and to shrink as in a real run. Answers come
from the model raters of ``mesoface study simulate`` and lie in the real tables.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("meso", "deep", "pca", "mirror", "visio", "deep-linear", "deep-nearest", "external")
PROTOCOLS = ("identity", "blur:8", "occlude:right")
FACES = 48
SIZE = (400, 500)
STUDY_PEOPLE = 15


def make_run(path: Path, subjects: int, methods: int, protocols: int) -> int:
    """A run folder; the number of rows of its table."""
    import compare  # the table of the other benchmark: numbers with effects of method and of subject

    from recon.runs.folder import FORMAT, RunFolder
    from recon.storage import write_json

    folder = RunFolder(path)
    people = [f"{number:04d}" for number in range(subjects)]
    names = list(NAMES[:methods])
    write_json(folder.config, {
        "format": FORMAT, "settings": {"data": "made up", "size": 512, "seed": 0},
        "methods": {name: {} for name in names}, "protocols": list(PROTOCOLS[:protocols]), "subjects": people,
        "sources": {}, "notes": [], "made_with": [], "assets": {},
    })  # fmt: skip
    faces = _faces(path / ".faces")
    for number, person in enumerate(people):
        _person(folder, number, person, faces, names, PROTOCOLS[:protocols])
    compare.PROTOCOLS = PROTOCOLS[:protocols]
    return int(compare.write_table(folder, people, names, 0.0))


def _faces(folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    made = []
    for number in range(FACES):
        rng = np.random.default_rng(number)
        image = Image.fromarray(rng.normal(150, 6, (SIZE[1], SIZE[0], 3)).clip(0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(image)
        skin = tuple(int(value) for value in rng.integers((150, 100, 80), (240, 190, 170)))
        draw.ellipse((60, 40, 340, 470), fill=skin)
        for side in (140, 260):
            draw.ellipse((side - 22, 190, side + 22, 220), fill=(40, 30, 30))
        draw.arc((140, 280, 260, 390), 20, 160, fill=(120, 40, 40), width=8)
        made.append(folder / f"{number}.png")
        image.save(made[-1])
    return made


def _person(
    folder: Any, number: int, person: str, faces: Sequence[Path], names: Sequence[str], protocols: Sequence[str]
) -> None:
    from recon.runs.folder import ResultKey
    from recon.storage import write_json

    attributes = {"gender": ("female", "male")[number % 2], "age": str(18 + number % 50),
                  "ethnicity": ("east asian", "black", "white", "west asian")[number % 4]}  # fmt: skip
    licence = {"name": "CC0", "citation": "made up", "redistributable": True}
    write_json(folder.reference(person) / "subject.json", {
        "id": person, "source": "made up", "attributes": attributes, "licence": licence, "size": list(SIZE),
    })  # fmt: skip
    os.link(faces[number % FACES], folder.reference(person) / "photo.png")
    for at, protocol in enumerate(protocols):
        write_json(folder.judged(person, protocol) / "reference.json",
                   {"subject": person, "protocol": protocol, "crop": [0, 0, *SIZE], "files": {}})  # fmt: skip
        given = folder.given(person, protocol)
        given.parent.mkdir(exist_ok=True)
        os.link(faces[(number + at) % FACES], given)
        for index, name in enumerate(names):
            place = folder.result(ResultKey(name, protocol, person))
            (place / "views").mkdir(parents=True)
            os.link(faces[(number + index + 1) % FACES], place / "views" / "fitted.png")
            text = '{"files": {"views/fitted.png": ""}, "method": "%s", "protocol": "%s", "subject": "%s"}'
            (place / "result.json").write_text(text % (name, protocol, person))


def make_study(folder: Path, url: str, responses: int, run: str) -> int:
    """A rehearsal of the published split-face study with about ``responses`` answers; how many there are.

    Args:
        folder: for the study file and its pictures.
        url: of a database without tables.
        run: name of the run whose pictures were judged.
    """
    from study.engine import open_database, upgrade
    from study.server.registration import enter_study
    from study.simulation.hosting import rehearsed_settings
    from study.simulation.population import Population
    from study.simulation.rehearsal import plan_rehearsal
    from study.specification import read_specification
    from study.stimuli import read_catalogue

    content = yaml.safe_load((ROOT / "study" / "examples" / "split_face.yaml").read_text(encoding="utf-8"))
    people = [f"{number:04d}" for number in range(STUDY_PEOPLE)]
    content["stimuli"].update(training_subjects=people[-2:], people=STUDY_PEOPLE - 2, protocol="identity")
    session = sum(content["trials"][part] for part in ("main", "gold", "attention", "training"))
    content["raters"] = -(-responses // session)
    content["payment"] = {"provider": "local", "reward": 0, "cap": 0}
    (folder / "stimuli").mkdir(parents=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    _pictures(folder, content["conditions"], people, run)
    asked = read_specification(folder / "study.yaml")
    plan = plan_rehearsal(asked, folder, read_catalogue(folder).stimuli, Population())
    engine = open_database(url)
    upgrade(engine)
    settings = rehearsed_settings(plan.specification)
    study = enter_study(engine, settings, plan.specification.record(), plan.stimuli, simulated=True)
    made = _answers(engine, study, plan, settings)
    engine.dispose()
    return made


def _pictures(folder: Path, conditions: Sequence[str], people: Sequence[str], run: str) -> None:
    from study.contract import PHOTOGRAPH, Stimulus
    from study.stimuli.catalogue import Catalogue, picture_of, write_catalogue

    rng = np.random.default_rng(0)
    stimuli = []
    for person in people:
        for condition, degraded in [*((name, False) for name in conditions), (PHOTOGRAPH, True)]:
            stream = io.BytesIO()
            grain = rng.normal(128, 12, (160, 128, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(grain).save(stream, "WEBP", quality=50)
            sha256 = hashlib.sha256(stream.getvalue()).hexdigest()
            stimulus = Stimulus(sha256, "image/webp", 128, 160, "split", condition, person, run, "identity", "fitted",
                                "CC0", degraded)  # fmt: skip
            picture_of(folder, stimulus).write_bytes(stream.getvalue())
            stimuli.append(stimulus)
    write_catalogue(folder, Catalogue({}, {}, tuple(stimuli), (), (), ()))


def _answers(engine: Any, study: int, plan: Any, settings: Any) -> int:
    """All sessions, whole tables at once: through the server 100,000 answers take an hour."""
    from sqlalchemy import insert, update

    from study.database import AssignmentRow, ParticipantRow, ResponseRow, SlotRow, TrialRow
    from study.engine import transaction

    design, known = settings.design, {one.sha256: one for one in plan.stimuli}
    rows: dict[Any, list[dict[str, Any]]] = {ParticipantRow: [], AssignmentRow: [], TrialRow: [], ResponseRow: []}
    begun = datetime.now(UTC) - timedelta(days=7)
    for number, rater in enumerate(plan.raters, start=1):
        at = begun + timedelta(minutes=2 * number)
        rows[ParticipantRow].append({"id": number, "study_id": study, "provider": "local", "simulated": True,
                                     "pseudonym": f"{number:064x}", "created_at": at})  # fmt: skip
        rows[AssignmentRow].append({
            "id": number, "study_id": study, "participant_id": number, "slot_id": number, "provider": "local",
            "state": "submitted", "consent_version": "1", "consented_at": at, "started_at": at, "last_seen_at": at,
            "submitted_at": at + timedelta(minutes=5), "completion_code": f"C{number}",
        })  # fmt: skip
        for trial in design.plan(settings.design_settings, plan.stimuli, number - 1):
            _answer(rows[TrialRow], rows[ResponseRow], design, settings, trial, rater, known, at, number)
    with transaction(engine) as session:
        for table, made in rows.items():
            session.execute(insert(table), made)
        session.execute(update(SlotRow).where(SlotRow.study_id == study).values(state="done"))
    return len(rows[ResponseRow])


def _answer(
    trials: list[dict[str, Any]], responses: list[dict[str, Any]], design: Any, settings: Any, trial: Any, rater: Any,
    known: Any, at: datetime, assignment: int,
) -> None:  # fmt: skip
    from study.simulation.raters import Seen

    trials.append({
        "id": len(trials) + 1, "assignment_id": assignment, "index": trial.index, "part": trial.part,
        "question": trial.question, "shown": list(trial.shown), "reference": trial.reference,
        "expected": None if trial.expected is None else dict(trial.expected),
    })  # fmt: skip
    seen = Seen(trial.index, trial.question, tuple(known[sha256] for sha256 in trial.shown))
    payload, milliseconds = rater.answer(seen)
    said = design.read_answer(settings.design_settings, trial, payload)
    responses.append({
        "trial_id": len(trials), "client_uuid": str(rater.answer_uuid(trial.index)), "answer": said,
        "correct": design.correct(trial, said), "reaction_ms": milliseconds, "viewport_width": 1280,
        "viewport_height": 800, "device_pixel_ratio": 1.0, "received_at": at + timedelta(seconds=8 * trial.index),
    })  # fmt: skip
