"""Versions by content: what changes a value changes them, what does not leaves them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon import code_version as module
from recon.code_version import code_version

FILES = {
    "__init__.py": "",
    "fit.py": '"""The fit."""\nfrom recon.light import shade\n\ndef fit(x):\n    return shade(x)\n',
    "light.py": "def shade(x):\n    import recon.sun as sun\n    return sun.RADIANCE * x\n",
    "sun.py": "RADIANCE = 3.0\n",
    "moon.py": "RADIANCE = 0.1\n",
    "errors.py": "TEXT = 'too dark'\n",
}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in place of this one."""
    folder = tmp_path / "recon"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(module, "_ROOT", tmp_path)
    return folder


def version() -> str:
    code_version.cache_clear()
    try:
        return code_version("recon.fit")
    finally:
        code_version.cache_clear()  # of the stand-in, which the next test must not read


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fit.py", FILES["fit.py"].replace("shade(x)\n", "2 * shade(x)\n")),
        ("light.py", FILES["light.py"].replace("* x", "* x * x")),
        ("sun.py", "RADIANCE = 3.1\n"),  # imported inside a function, by a module that is imported
    ],
)
def test_a_change_of_what_is_imported_is_another_version(source: Path, name: str, text: str) -> None:
    before = version()
    (source / name).write_text(text)
    assert version() != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "fit.py",
            FILES["fit.py"].replace("The fit.", "Fits.").replace("    return", "    # why\n\n    return"),
        ),
        ("moon.py", "RADIANCE = 0.2\n"),
        ("errors.py", "TEXT = 'much too dark'\n"),
    ],
)
def test_words_and_what_is_not_imported_do_not_count(source: Path, name: str, text: str) -> None:
    (source / "light.py").write_text("from recon.errors import TEXT\n" + FILES["light.py"])
    before = version()
    (source / name).write_text(text)
    assert version() == before


def test_the_version_of_a_database_follows_the_fit() -> None:
    closure = module._closure("recon.texture.database_build")
    assert {"recon.fitting.photometric_fit", "recon.texture.unwrap", "recon.texture.skin", "recon.images"} <= closure
    assert not closure & {"recon.texture.synthesis", "recon.methods.meso", "recon.errors"}
    with pytest.raises(ModuleNotFoundError, match=r"recon\.nothing"):
        code_version("recon.nothing")
