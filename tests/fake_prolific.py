"""A Prolific of our own: it speaks the HTTP of docs.prolific.com (v1), as far as it is used, on loopback.

Its fee is 40 % of what raters get; pages are as long as they are asked for; bonuses are paid whenever they are asked
for, also twice, because the real one does so.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_marketplace import FakeMarketplace

TOKEN = "secret-of-the-test"


@dataclass
class FakeProlific(FakeMarketplace):
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    bulks: dict[str, tuple[str, int]] = field(default_factory=dict)
    paid: list[tuple[str, int]] = field(default_factory=list)
    longest_page: int = 100

    def __post_init__(self) -> None:
        super().__init__()

    def arrive(self, study: str, participant: str, status: str = "AWAITING REVIEW") -> str:
        """A participant takes a place and does the work; the submission's id."""
        number = f"sub{len(self.people):04d}"
        self.people[number] = {
            "id": number, "study_id": study, "participant_id": participant, "participant": participant,
            "status": status, "study_code": "DONE", "bonus_payments": [], "return_requested": None,
        }  # fmt: skip
        return number

    def exposure_cents(self) -> int:
        """The most that the account can be charged for what was published and paid."""
        locked = 0
        for study in self.studies.values():
            if study["status"] != "UNPUBLISHED" and not study["test"]:
                locked += _with_fee(study["reward"] * study["total_available_places"])
        return locked + sum(_with_fee(cents) for _, cents in self.paid)

    def changes(self, method: str, path: str, headers: dict[str, str]) -> bool:
        return method == "POST" and "calculator" not in path

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if headers.get("authorization") != f"Token {TOKEN}":
            return 401, b'{"error": "token"}'
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        steps = [step for step in parts.path.removeprefix("/api/v1").split("/") if step]
        status, value = self._route(method, steps, query, json.loads(body) if body else {})
        return status, json.dumps(value).encode()

    def _route(self, method: str, steps: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        match method, steps:
            case "POST", ["study-cost-calculator"]:
                return 200, {"total_cost": _with_fee(body["reward"] * body["total_available_places"]) - 0.4}
            case "GET", ["studies"]:
                return 200, self._page(list(self.studies.values()), query)
            case "POST", ["studies"]:
                return self._create(body)
            case "GET", ["studies", number] if number in self.studies:
                return 200, self.studies[number]
            case "POST", ["studies", number, "transition"] if number in self.studies:
                return self._publish(self.studies[number], body["action"])
            case "POST", ["studies", number, "test-study"] if number in self.studies:
                status, copy = self._create(self.studies[number])
                self.studies[copy["id"]].update(status="ACTIVE", test=True)
                return status, {"study_id": copy["id"], "study_url": f"https://app.prolific.com/studies/{copy['id']}"}
            case "GET", ["submissions"]:
                found = [entry for entry in self.people.values() if entry["study_id"] == query["study"]]
                return 200, self._page(found, query)
            case "POST", ["submissions", "bonus-payments"]:
                return self._set_up(body)
            case "GET", ["submissions", number] if number in self.people:
                return 200, self.people[number]
            case "POST", ["submissions", number, "transition"] if number in self.people:
                return self._decide(self.people[number], body)
            case "POST", ["submissions", number, "request-return"] if number in self.people:
                self.people[number]["return_requested"] = "2026-01-01T00:00:00Z"
                return 200, self.people[number]
            case "POST", ["bulk-bonus-payments", number, "pay"] if number in self.bulks:
                submission, cents = self.bulks[number]
                self.paid.append((submission, cents))
                self.people[submission]["bonus_payments"].append(float(cents))
                return 202, {"message": "received"}
        return 404, {"error": "no such thing"}

    def _page(self, entries: list[Any], query: dict[str, str]) -> dict[str, Any]:
        size, number = min(int(query["page_size"]), self.longest_page), int(query["page"])
        return {"results": entries[(number - 1) * size : number * size], "meta": {"count": len(entries)}}

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        number = f"study{len(self.studies):04d}"
        study = {**body, "id": number, "status": "UNPUBLISHED", "test": False, "date_created": number}
        self.studies[number] = study
        return 201, study

    def _publish(self, study: dict[str, Any], action: str) -> tuple[int, Any]:
        steps = {("UNPUBLISHED", "PUBLISH"): "ACTIVE", ("ACTIVE", "PAUSE"): "PAUSED", ("PAUSED", "START"): "ACTIVE"}
        after = "AWAITING REVIEW" if action == "STOP" else steps.get((study["status"], action))
        if after is None or (action == "STOP" and study["status"] not in {"ACTIVE", "PAUSED"}):
            return 400, {"error": {"detail": f"{study['status']} cannot {action}"}}
        study["status"] = after
        return 200, study

    def _decide(self, entry: dict[str, Any], body: dict[str, Any]) -> tuple[int, Any]:
        wanted = {"APPROVE": "APPROVED", "REJECT": "REJECTED"}[body["action"]]
        if entry["status"] == wanted:
            return 200, entry
        if entry["status"] != "AWAITING REVIEW":
            return 400, {"error": {"detail": "not awaiting review"}}
        if wanted == "REJECTED" and (len(body["message"]) < 100 or not body["rejection_category"]):
            return 400, {"error": {"detail": "message must be at least 100 characters"}}
        entry["status"] = wanted
        return 200, entry

    def _set_up(self, body: dict[str, Any]) -> tuple[int, Any]:
        ((submission, units),) = csv.reader([body["csv_bonuses"]])
        if submission not in self.people:
            return 400, {"error": f"{submission} took no part"}
        cents = round(float(units) * 100)
        number = f"bulk{len(self.bulks):04d}"
        self.bulks[number] = (submission, cents)
        total = _with_fee(cents)
        return 201, {"id": number, "study": body["study_id"], "amount": cents, "total_amount": float(total)}


def _with_fee(cents: int) -> int:
    return cents + -(-cents * 40 // 100)
