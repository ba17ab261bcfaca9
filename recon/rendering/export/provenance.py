"""What travels with an exported head: whom it shows, what made it, and the terms under which it may be passed on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recon import __version__
from recon.data.subject import Licence
from recon.face_model.model import MorphableModel

_CREATIVE_COMMONS = re.compile(r"CC[ -](BY(?:-NC)?(?:-ND|-SA)?)[ -](\d\.\d)", re.IGNORECASE)


def licence_address(name: str) -> str:
    """Where the text of a Creative Commons licence lies, for example of ``CC BY 4.0``; empty for any other."""
    if name.upper().startswith("CC0"):
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    found = _CREATIVE_COMMONS.fullmatch(name.strip())
    return f"https://creativecommons.org/licenses/{found[1].lower()}/{found[2]}/" if found else ""


@dataclass(frozen=True)
class Provenance:
    """Where a head comes from.

    Attributes:
        subject: id of the person.
        source: name of the data set.
        licence: terms of the photograph, and so of everything made from it.
        method: what made the albedo, for example ``meso``.
        face_model: name and version of the face model whose topology the mesh has.
        face_model_licence: its terms.
        protocol: what the method was given.
        photograph: sha256 of the photograph's pixels; empty where it is not known.
        synthetic: whether the person is computer-made.
        attributes: age, gender, … as recorded by the source.
        details: anything else worth keeping (fit verdict, database identity, …), in the types of JSON.
    """

    subject: str
    source: str
    licence: Licence
    method: str
    face_model: str
    face_model_licence: str = ""
    protocol: str = "identity"
    photograph: str = ""
    synthetic: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def copyright(self) -> str:
        """One line: licence and citation, as glTF's ``asset.copyright`` and EXR's ``owner`` want it."""
        terms = f"{self.licence.name}{'' if self.licence.redistributable else ' (not to be redistributed)'}"
        return f"{terms}. {self.licence.citation}" if self.licence.citation else terms

    def record(self) -> dict[str, Any]:
        """All of it in the types of JSON."""
        return {
            "subject": self.subject,
            "source": self.source,
            "synthetic": self.synthetic,
            "attributes": dict(self.attributes),
            "method": self.method,
            "protocol": self.protocol,
            "photograph_sha256": self.photograph,
            "face_model": self.face_model,
            "face_model_licence": self.face_model_licence,
            "licence": {
                "name": self.licence.name,
                "citation": self.licence.citation,
                "redistributable": self.licence.redistributable,
                "text": licence_address(self.licence.name),
            },
            "made_by": f"mesoface {__version__}",
            **({"details": dict(self.details)} if self.details else {}),
        }

    def lines(self) -> list[str]:
        """The same for people, a line each; no line holds a line break."""
        told = [
            f"subject {self.subject} of {self.source}{' (computer-made)' if self.synthetic else ''}",
            f"albedo by {self.method}, given {self.protocol}; mesh in the topology of {self.face_model}",
            f"licence of the photograph: {self.licence.name}",
        ]
        address = licence_address(self.licence.name)
        if address:
            told.append(f"licence text: {address}")
        if self.licence.citation:
            told.append(f"cite: {self.licence.citation}")
        if not self.licence.redistributable:
            told.append("this licence does not let pictures or models of the person leave your hands")
        if self.face_model_licence:
            told.append(f"licence of the face model: {self.face_model_licence}")
        told.append(f"made by mesoface {__version__}")
        return [" ".join(line.split()) for line in told]

    def notice(self) -> str:
        """The text of the file ``LICENCE.txt``."""
        return "\n".join(self.lines()) + "\n"


def face_model_name(model: MorphableModel) -> str:
    """Name and version of a face model, as provenance records them."""
    return f"{model.name} {model.version}"
