"""A Mechanical Turk of our own: the JSON protocol of its API of 2017-01-17, as far as it is used, on loopback.

Request tokens are honoured as AWS describes it: the second use is refused, until ``forget_tokens`` (AWS: 24 hours).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from fake_marketplace import FakeMarketplace

READS = ("List", "Get")


class _RefusedError(Exception):
    pass


@dataclass
class FakeMTurk(FakeMarketplace):
    hits: dict[str, dict[str, Any]] = field(default_factory=dict)
    types: dict[str, dict[str, Any]] = field(default_factory=dict)
    work: dict[str, dict[str, Any]] = field(default_factory=dict)
    bonuses: list[dict[str, Any]] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    holders: set[tuple[str, str]] = field(default_factory=set)
    tokens: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    def arrive(self, hit: str, worker: str) -> str:
        """A worker takes the HIT and hands it in; the assignment's id."""
        number = f"A{len(self.work):04d}"
        self.work[number] = {
            "AssignmentId": number, "WorkerId": worker, "HITId": hit, "AssignmentStatus": "Submitted",
        }  # fmt: skip
        return number

    def forget_tokens(self) -> None:
        self.tokens.clear()

    def exposure_cents(self) -> int:
        """The most that the account can be charged: 20 % fee, 40 % from 10 assignments, at least a cent."""
        total = 0
        for hit in self.hits.values():
            reward = round(float(hit["Reward"]) * 100)
            rate = 40 if hit["MaxAssignments"] >= 10 else 20
            fee = max(1, -(-reward * rate // 100)) if reward else 0
            done = [entry for entry in self.work.values() if entry["HITId"] == hit["HITId"]]
            refused = sum(entry["AssignmentStatus"] == "Rejected" for entry in done)
            total += (hit["MaxAssignments"] - refused) * (reward + fee)
        for bonus in self.bonuses:
            cents = round(float(bonus["BonusAmount"]) * 100)
            total += cents + max(1, -(-cents * 20 // 100))
        return total

    def changes(self, method: str, path: str, headers: dict[str, str]) -> bool:
        return not headers["x-amz-target"].split(".")[1].startswith(READS)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        operation = headers["x-amz-target"].removeprefix("MTurkRequesterServiceV20170117.")
        content = json.loads(body)
        try:
            return 200, json.dumps(getattr(self, f"_{operation}")(content)).encode()
        except _RefusedError as error:
            code, _, message = str(error).partition(" ")
            value = {"__type": "RequestError", "Message": message, "TurkErrorCode": f"AWS.MechanicalTurk.{code}"}
            return 400, json.dumps(value).encode()

    def _use(self, operation: str, content: dict[str, Any], code: str) -> None:
        key = (operation, content["UniqueRequestToken"])
        if key in self.tokens:
            raise _RefusedError(f"{code} This request was made already")
        self.tokens.add(key)

    def _CreateHITType(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100 - AWS names it
        number = next((key for key, value in self.types.items() if value == content), f"T{len(self.types)}")
        self.types[number] = content
        return {"HITTypeId": number}

    def _CreateHITWithHITType(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        self._use("hit", content, "HITAlreadyExists")
        number = f"H{len(self.hits):04d}"
        kind = self.types[content["HITTypeId"]]
        self.hits[number] = {
            "HITId": number, "HITStatus": "Assignable", "MaxAssignments": content["MaxAssignments"],
            "RequesterAnnotation": content["RequesterAnnotation"], "Reward": kind["Reward"],
            "Question": content["Question"], "Expiration": time.time() + content["LifetimeInSeconds"],
        }  # fmt: skip
        return {"HIT": self.hits[number]}

    def _GetHIT(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        return {"HIT": self.hits[content["HITId"]]}

    def _ListHITs(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        return _page(list(self.hits.values()), content, "HITs")

    def _UpdateExpirationForHIT(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        self.hits[content["HITId"]].update(HITStatus="Reviewable", Expiration=content["ExpireAt"])
        return {}

    def _ListAssignmentsForHIT(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        found = [entry for entry in self.work.values() if entry["HITId"] == content["HITId"]]
        return _page(found, content, "Assignments")

    def _GetAssignment(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        if content["AssignmentId"] not in self.work:
            raise _RefusedError("AssignmentDoesNotExist there is none")
        return {"Assignment": self.work[content["AssignmentId"]]}

    def _ApproveAssignment(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        return self._decide(content, "Approved")

    def _RejectAssignment(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        return self._decide(content, "Rejected")

    def _decide(self, content: dict[str, Any], state: str) -> Any:
        entry = self.work[content["AssignmentId"]]
        if entry["AssignmentStatus"] != "Submitted":
            raise _RefusedError("InvalidAssignmentState This operation can be called with a status of: Submitted")
        entry["AssignmentStatus"] = state
        return {}

    def _SendBonus(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        self._use("bonus", content, "DuplicateRequest")
        if self.work[content["AssignmentId"]]["WorkerId"] != content["WorkerId"]:
            raise _RefusedError("AccessDenied another worker")
        self.bonuses.append({**content, "GrantTime": time.time()})
        return {}

    def _ListBonusPayments(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        keys = ("WorkerId", "BonusAmount", "AssignmentId", "Reason", "GrantTime")
        found = [entry for entry in self.bonuses if entry["AssignmentId"] == content["AssignmentId"]]
        return _page([{key: entry[key] for key in keys} for entry in found], content, "BonusPayments")

    def _ListQualificationTypes(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        found = [{"QualificationTypeId": key, "Name": name} for key, name in self.kinds.items()]
        return _page(found, content, "QualificationTypes")

    def _CreateQualificationType(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        if content["Name"] in self.kinds.values():
            raise _RefusedError("QualificationTypeAlreadyExists You have already created one of this name")
        self.kinds[f"Q{len(self.kinds)}"] = content["Name"]
        return {"QualificationType": {"QualificationTypeId": f"Q{len(self.kinds) - 1}", "Name": content["Name"]}}

    def _AssociateQualificationWithWorker(self, content: dict[str, Any]) -> Any:  # noqa: N802, RUF100
        self.holders.add((content["QualificationTypeId"], content["WorkerId"]))
        return {}


def _page(entries: list[Any], content: dict[str, Any], key: str) -> dict[str, Any]:
    first = int(content.get("NextToken", "0"))
    page = entries[first : first + content["MaxResults"]]
    # The real one names a further page as long as the present one has entries.
    further = {"NextToken": str(first + len(page))} if page else {}
    return {"NumResults": len(page), key: page, **further}
