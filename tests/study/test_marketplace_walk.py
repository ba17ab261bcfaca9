"""A study from launch to report at both marketplaces, as a user types it, with programs that are killed in the middle.

Sources: the promises of ``study.providers.contract`` (nothing twice, never past the cap), and what the in-repo
marketplaces were told in the end: they pay whatever they are asked for, also twice.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import yaml
from fake_mturk import FakeMTurk
from fake_prolific import TOKEN, FakeProlific
from study_hosting import SCREEN, answer_body, served
from study_runs import make_run

import mesoface
import study
from study.server.process import Serving, prepare

EXAMPLE = Path(study.__file__).parent / "examples" / "split_face.yaml"
CHECKOUT = Path(mesoface.__file__).parent
RATERS, REWARD, BONUS, CAP = 3, 60, 25, 400
RAW_ID = "A7Z-{}-9Q"
SUBMIT_TO = "https://workersandbox.mturk.com"


@dataclass
class Walk:
    """A marketplace, a study folder and a database.

    Attributes:
        name: of the marketplace; ``market`` the fake.
        publish, approve, pay_bonus: how requests end that do these things.
    """

    name: str
    market: Any
    folder: Path
    db: str
    capsys: pytest.CaptureFixture[str]
    publish: str
    approve: str
    pay_bonus: str
    people: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> list[str]:
        suffix = "/api/v1" if self.name == "prolific" else ""
        return ["--db", self.db, "--endpoint", f"{self.market.address}{suffix}", "--live"]

    def typed(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, output and errors of ``mesoface study``."""
        with pytest.raises(SystemExit) as ended:
            mesoface.main(["study", *map(str, arguments)])
        said = self.capsys.readouterr()
        with self.capsys.disabled():
            if os.environ.get("MESOFACE_SHOW_WALK"):
                sys.stdout.write(f"\n$ mesoface study {shlex.join(map(str, arguments))}\n{said.out}{said.err}")
        assert isinstance(ended.value.code, int) and "Traceback" not in said.err
        return ended.value.code, said.out, said.err

    def killed(self, at: str, *arguments: object) -> None:
        """The command as a program of its own, killed after the marketplace did ``at`` and before it said so."""
        self.market.hold_at = at
        self.market.held.clear()
        self.market.let_go.clear()
        program = subprocess.Popen(
            [sys.executable, "-m", "mesoface", "study", *map(str, arguments)],
            cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert self.market.held.wait(120), program.stderr.read() if program.stderr else ""
        finally:
            program.kill()
            program.communicate()
            self.market.hold_at = ""
            self.market.let_go.set()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.typed("status", "small", "--db", self.db, "--json")[1])
        return found

    def arrive(self, person: str, posting: str) -> dict[str, str]:
        """The rater takes a place; the parameters with which the marketplace opens our page."""
        worker = RAW_ID.format(person.upper())
        if self.name == "prolific":
            number = self.market.arrive(posting, worker, "ACTIVE")
            given = {"PROLIFIC_PID": worker, "STUDY_ID": posting, "SESSION_ID": number}
        else:
            number = self.market.arrive(posting, worker)
            given = {"workerId": worker, "assignmentId": number, "hitId": posting, "turkSubmitTo": SUBMIT_TO}
        self.people[person] = number
        return given

    def hand_in(self, person: str, completion: dict[str, Any]) -> None:
        """What the page does at the end: the link with the code, or the form that is posted."""
        number = self.people[person]
        if self.name == "prolific":
            (study,) = [one for one in self.market.studies.values() if one["status"] != "UNPUBLISHED"]
            code = study["completion_codes"][0]["code"]
            assert completion["url"] == f"https://app.prolific.com/submissions/complete?cc={code}"
            self.market.people[number].update(status="AWAITING REVIEW", study_code=code)
        else:
            assert completion["url"] == f"{SUBMIT_TO}/mturk/externalSubmit"
            assert completion["fields"] == {"assignmentId": number, "completion_code": completion["code"]}

    def states(self) -> dict[str, str]:
        """What the marketplace says of its raters' work."""
        entries = self.market.people if self.name == "prolific" else self.market.work
        word = "status" if self.name == "prolific" else "AssignmentStatus"
        return {person: str(entries[number][word]).upper() for person, number in self.people.items()}

    def postings(self) -> list[str]:
        return list(self.market.studies if self.name == "prolific" else self.market.hits)

    def bonuses(self) -> list[int]:
        if self.name == "prolific":
            return [cents for _, cents in self.market.paid]
        return [round(float(one["BonusAmount"]) * 100) for one in self.market.bonuses]


@pytest.fixture(params=["prolific", "mturk"])
def walk(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Walk]:
    for name, value in {
        "PROLIFIC_API_TOKEN": TOKEN, "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true", "MESOFACE_STUDY_KEY": "0f" * 32, "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    make_run(tmp_path / "runs" / "first", subjects=("s1", "s2", "s3"))
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content |= {
        "name": "small", "conditions": ["photograph", "alpha", "beta"], "raters": RATERS,
        "stimuli": {"runs": ["../../runs/first"], "training_subjects": ["s3"], "width": 96, "height": 120},
        "trials": {"main": 2, "training": 1}, "time": {"seconds_around": 60},
        "payment": {"provider": request.param, "reward": REWARD, "cap": CAP},
        "quality": {"speed": {"at_least_ms": 600, "withholds": ["pay", "use"]}, "sameness": None, "order": None},
    }  # fmt: skip
    folder = tmp_path / "studies" / "small"
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    market: Any = FakeProlific() if request.param == "prolific" else FakeMTurk()
    ends = {
        "prolific": ("/transition/", "/transition/", "/pay/"),
        "mturk": ("CreateHITWithHITType", "ApproveAssignment", "SendBonus"),
    }
    yield Walk(request.param, market, folder, database_url, capsys, *ends[request.param])
    market.close()


def come(address: str, parameters: dict[str, str]) -> httpx2.Response:
    """A rater opens the page and agrees."""
    body = {"parameters": parameters, "visitor": str(uuid4()), "consent_version": "1"}
    return httpx2.post(f"{address}/api/consent", json=body, trust_env=False)


def work(address: str, parameters: dict[str, str], milliseconds: int) -> tuple[str, dict[str, Any]]:
    """A whole session: what the page says of the screen, and how it hands the work in."""
    token = come(address, parameters).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    screen = httpx2.post(f"{address}/api/screen", json=SCREEN, headers=headers, trust_env=False)
    if screen.status_code != 200:
        return str(screen.json()["error"]), {}
    arriving = {"parameters": parameters, "visitor": str(uuid4())}
    view = httpx2.post(f"{address}/api/arrive", json=arriving, trust_env=False).json()["session"]
    for trial in view["trials"]:
        body = {**answer_body(trial, {"choice": "real"}), "reaction_ms": milliseconds}
        reply = httpx2.post(f"{address}/api/answers", json=body, headers=headers, trust_env=False)
        assert reply.status_code == 200, reply.text
    done = httpx2.post(f"{address}/api/arrive", json=arriving, trust_env=False).json()["session"]["completion"]
    return "", done


@contextmanager
def serving(walk: Walk) -> Iterator[str]:
    with served(prepare(Serving(str(walk.folder), walk.db))) as address:
        yield address


def launched_once(walk: Walk) -> str:
    """Launch, killed when the marketplace has published and has not said so; then again, and again."""
    command = ("launch", walk.folder, "--url", "https://study.example/", *walk.where, "--quiet")
    walk.killed(walk.publish, *command)
    for _ in range(2):
        code, out, err = walk.typed(*command)
        assert code == 0 and "open: 3 places" in out, err
    (posting,) = walk.postings()
    found = walk.status()
    assert found["committed_cents"] == walk.market.exposure_cents() <= CAP
    return posting


def test_from_launch_to_report_nothing_is_done_twice_wherever_it_is_killed(walk: Walk) -> None:
    posting = launched_once(walk)
    with serving(walk) as address:
        for person, milliseconds in (("good", 2000), ("rushed", 100), ("fine", 1500)):
            refused, completion = work(address, walk.arrive(person, posting), milliseconds)
            assert not refused
            walk.hand_in(person, completion)
        code, out, err = walk.typed("follow", "small", *walk.where)
        assert (code, out) == (0, "submitted\t3\n"), err
        code, out, _ = walk.typed("review", "small", "--db", walk.db, "--decide")
        assert code == 0 and "pay 2, use 2" in out and "3 decided now" in out

        pay_once(walk)
        replace_the_rejected(walk, posting, address)
        pay_a_bonus_once(walk)
    ended(walk)


def pay_once(walk: Walk) -> None:
    walk.killed(walk.approve, "pay", "small", *walk.where, "--quiet")
    code, _, err = walk.typed("pay", "small", *walk.where, "--quiet")
    assert code == 0 and "confirmed" in err
    assert walk.states() == {"good": "APPROVED", "rushed": "REJECTED", "fine": "APPROVED"}
    before, requests = walk.status(), len(walk.market.requests)
    code, _, err = walk.typed("pay", "small", *walk.where, "--quiet")
    assert code == 0 and "paid 0, rejected 0, not decided 0" in err
    after = walk.status()
    assert after["committed_cents"] == before["committed_cents"] and after["unsettled"] == []
    changing = {"POST"} if walk.name == "prolific" else set()
    assert not {method for method, _ in walk.market.requests[requests:]} & changing


def replace_the_rejected(walk: Walk, posting: str, address: str) -> None:
    """The rejected rater's place is another's, out of the same money."""
    command = ("launch", walk.folder, "--url", "https://study.example/", *walk.where, "--quiet", "--replace-rejected")
    if walk.name == "mturk":
        early = walk.arrive("early", posting)
        assert "places of this study are taken" in work(address, early, 2000)[0]
        del walk.people["early"]
        for _ in range(2):
            code, out, err = walk.typed(*command)
            assert code == 0 and "open: 1 places" in out, err
        posting = walk.postings()[-1]
        assert len(walk.postings()) == 2
    else:
        code, out, err = walk.typed(*command)
        assert code == 0 and "no place of a rejected rater" in out, err
    refused, completion = work(address, walk.arrive("second", posting), 2000)
    assert not refused
    walk.hand_in("second", completion)
    walk.typed("review", "small", "--db", walk.db, "--decide")
    code, _, err = walk.typed("pay", "small", *walk.where, "--quiet")
    assert code == 0 and "paid 1, rejected 0" in err
    assert walk.states()["second"] == "APPROVED"
    assert walk.market.exposure_cents() <= CAP


def pay_a_bonus_once(walk: Walk) -> None:
    session = json.loads(walk.typed("review", "small", "--db", walk.db, "--json")[1])["sessions"][0]["session"]
    command = ("bonus", "small", session, BONUS, "--reason", "Careful work.", *walk.where)
    walk.killed(walk.pay_bonus, *command)
    assert len(walk.status()["unsettled"]) == 1
    for _ in range(2):
        code, _, err = walk.typed(*command)
        assert code == 0, err
    assert walk.bonuses() == [BONUS] and walk.status()["unsettled"] == []
    code, _, err = walk.typed("bonus", "small", session, CAP, "--reason", "All that there is.", *walk.where)
    assert code == 2 and "cap" in err
    assert walk.bonuses() == [BONUS] and walk.market.exposure_cents() <= CAP


def ended(walk: Walk) -> None:
    for said in ("small: closed\n", "small: was closed already\n"):
        code, out, err = walk.typed("close", "small", *walk.where)
        assert code == 0 and out.startswith(said), err
    code, out, _ = walk.typed("status", "small", "--db", walk.db)
    assert code == 0 and "small: closed" in out
    code, _, err = walk.typed("report", "small", "--db", walk.db, "--out", walk.folder / "report")
    assert code == 0, err
    page = (walk.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "split-face" in page and all(RAW_ID.format(person.upper()) not in page for person in walk.people)
