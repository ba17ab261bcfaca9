"""A small study with drawn faces, hosted: for tests of the web server and of what speaks to it."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from fastapi import FastAPI
from PIL import Image, ImageDraw
from sqlalchemy import Engine

from study.contract import PHOTOGRAPH, Composition, DesignSettings, Stimulus
from study.designs import DESIGNS
from study.server.app import create_app
from study.server.registration import enter_study
from study.server.settings import Scale, ServerSettings, Words
from study.stimuli.catalogue import Catalogue, write_catalogue

KEY = bytes(range(32))
CONDITIONS = (PHOTOGRAPH, "meso", "pca", "mirror")
SUBJECTS = tuple(f"person{number}" for number in range(8))
TRAINING = ("person6", "person7")

_OPTIONS: dict[str, dict[str, Any]] = {
    "ranking": {"set_size": 4},
    "acr": {"scales": {"realism": 5, "trust": 5}},
    "dsis": {"scales": {"impairment": 5}},
}
_AGREE = ("not at all", "slightly", "moderately", "very", "extremely")
_SCALES = {
    "acr": (Scale("realism", "How real does this face look?", _AGREE), Scale("trust", "Would you trust it?", _AGREE)),
    "dsis": (Scale("impairment", "How much worse?", ("very annoying", "annoying", "slightly", "perceptible", "not")),),
}
QUESTIONS = {
    "real-or-fake": "Is this a photograph, or partly made by a computer?",
    "ranking": "Put the faces in order, from the most to the least realistic.",
    "choice": "Which face looks more real?",
    "scores": "How does this face look to you?",
    "attention-last": "This time, put the first face last.",
    **{f"attention-{answer}": f"This time, answer {answer}." for answer in ("real", "fake", "left", "right", *"12345")},
}


@cache
def drawn_face(seed: int, size: tuple[int, int] = (240, 300)) -> bytes:
    """A cartoon of a face, unlike any other seed's, as PNG."""
    random = np.random.default_rng(seed)
    width, height = size
    image = Image.new("RGB", size, tuple(int(v) for v in random.integers(90, 150, 3)))
    draw = ImageDraw.Draw(image)
    skin = tuple(int(v) for v in random.integers((150, 100, 80), (240, 190, 170)))
    draw.ellipse((width * 0.15, height * 0.08, width * 0.85, height * 0.95), fill=skin)
    for side in (0.36, 0.64):
        draw.ellipse((width * (side - 0.06), height * 0.4, width * (side + 0.06), height * 0.46), fill=(30, 30, 30))
    draw.arc((width * 0.35, height * 0.55, width * 0.65, height * 0.78), 20, 160, fill=(120, 40, 40), width=5)
    draw.text((5, 5), str(seed), fill=(0, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_stimuli(folder: Path, composition: Composition) -> tuple[Stimulus, ...]:
    """Faces of every subject and condition, and a spoilt copy of each photograph, in ``folder/stimuli``."""
    (folder / "stimuli").mkdir(parents=True, exist_ok=True)
    made = []
    kinds = [(name, False) for name in CONDITIONS] + [(PHOTOGRAPH, True)]
    for number, subject in enumerate(SUBJECTS):
        for kind, (condition, degraded) in enumerate(kinds):
            content = drawn_face(number * len(kinds) + kind)
            sha256 = hashlib.sha256(content).hexdigest()
            (folder / "stimuli" / f"{sha256}.png").write_bytes(content)
            stimulus = Stimulus(
                sha256, "image/png", 240, 300, composition, condition, subject, "run", "identity", "fitted", "CC0"
            )
            made.append(replace(stimulus, degraded=degraded))
    return tuple(made)


def settings_for(design: str, **changed: Any) -> ServerSettings:
    """Settings of a short study of ``design``: two training trials, four main ones, one gold, one attention."""
    found = DESIGNS.get(design)
    given = DesignSettings(
        conditions=CONDITIONS,
        trials_per_rater=changed.pop("trials", 4),
        raters=changed.pop("raters", 4),
        gold=changed.pop("gold", 1),
        attention=changed.pop("attention", 1),
        training=changed.pop("training", 2),
        seed=7,
        options={"training_subjects": list(TRAINING), **_OPTIONS.get(design, {})},
    )
    words = Words(
        title="How real do these faces look?",
        consent="You will see pictures of faces and say how real they look.\n\nYou may stop at any time.",
        consent_version="1",
        questions=QUESTIONS,
        instructions="Look at each face for as long as you like.",
        contact="study@example.org",
        scales=_SCALES.get(design, ()),
    )
    fields = {"study": "trial", "design": found, "design_settings": given, "words": words, "key": KEY}
    return ServerSettings(**{**fields, **changed})


def host_study(engine: Engine, folder: Path, settings: ServerSettings) -> FastAPI:
    """The application of a study that is entered and open, with drawn faces."""
    stimuli = make_stimuli(folder, settings.design.composition)
    enter_study(engine, settings, {"design": settings.design.name}, stimuli)
    return create_app(engine, folder, settings)


@contextmanager
def served(app: FastAPI, port: int = 0) -> Iterator[str]:
    """Address of a real server on this machine that runs ``app`` in a thread."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started:
        if time.monotonic() > until or not thread.is_alive():
            raise RuntimeError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


SCREEN = {
    "viewport_width": 1280,
    "viewport_height": 800,
    "screen_width": 1280,
    "screen_height": 800,
    "device_pixel_ratio": 1.0,
    "colour_depth": 24,
}


def answer_for(page: str, trial: dict[str, Any]) -> dict[str, Any]:
    """Some answer that fits a trial as the page shows it."""
    count = len(trial["shown"])
    return {
        "real-or-fake": {"choice": "fake"},
        "choice": {"choice": count - 1},
        "ranking": {"order": list(reversed(range(count)))},
        "scales": {"scores": {"realism": 3, "trust": 4}},
    }[page]


def answer_body(trial: dict[str, Any], answer: dict[str, Any], uuid: str | None = None) -> dict[str, Any]:
    """The request that gives ``answer``."""
    return {
        "index": trial["index"],
        "client_uuid": uuid or str(uuid4()),
        "answer": answer,
        "reaction_ms": 1500,
        "viewport_width": 1280,
        "viewport_height": 800,
        "device_pixel_ratio": 1.0,
    }


STUDY_FILE = """
name: trial
title: How real do these faces look?
design: split-face
conditions: [photograph, meso, pca, mirror]
raters: 4
seed: 7
stimuli:
  runs: [../run]
  training_subjects: [person6, person7]
trials: {main: 4, gold: 1, attention: 1, training: 2}
consent:
  version: "1"
  text: |
    You will see pictures of faces.

    You may stop at any time.
payment: {reward: 100, cap: 1000, currency: EUR}
"""


def write_study(folder: Path) -> None:
    """A whole study folder: the study file, the catalogue and the pictures."""
    stimuli = make_stimuli(folder, "split")
    (folder / "study.yaml").write_text(STUDY_FILE)
    write_catalogue(folder, Catalogue({}, {}, stimuli, (), (), ()))
