"""Faults on order, the same for every sandbox: which request is struck, how, and how often.

``POST /sandbox/faults`` takes ``{"faults": […]}``, each with the fields of ``Fault``; they replace those that were
ordered before and forget what is counted. ``GET`` tells what is left of each and how often which kind struck;
``DELETE`` orders none. Nothing is random but by a seed, so the same requests meet the same faults.

Whoever lives in a sandbox, whose credential ends in ``simulator``, meets no fault but ``clock_skew``.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args

from demo.sandbox.exchange import Answer, Kind, Request
from demo.sandbox.store import Json, dumps

PATH = "/sandbox/faults"
REFUSALS = {"429": 429, "500": 500, "503": 503}
KINDS = (*REFUSALS, "timeout", "cut", "truncated", "garbled", "duplicate", "poison", "clock_skew")
OF_ONE = {"out_of_order": "stripe", "request_limit": "salesforce", "session": "salesforce"}
"""Faults that only one of the APIs knows."""
_CODES: dict[Kind, dict[int, str]] = {
    "stripe": {429: "rate_limit", 500: "api_error", 503: "api_error"},
    "hubspot": {429: "RATE_LIMITS", 500: "INTERNAL_ERROR", 503: "SERVICE_UNAVAILABLE"},
    "salesforce": {
        401: "INVALID_SESSION_ID",
        403: "REQUEST_LIMIT_EXCEEDED",
        429: "REQUEST_LIMIT_EXCEEDED",
        500: "UNKNOWN_EXCEPTION",
        503: "SERVER_UNAVAILABLE",
    },
}
_CURSORS = frozenset({"after", "starting_after", "ending_before", "locator"})
_LOCATOR = re.compile(r"-\d+$")  # the page within a query's result, at the end of Salesforce's ``nextRecordsUrl``


@dataclass
class Fault:
    """One order. Of the requests that it may strike it passes ``skip``, then strikes ``times``."""

    kind: str
    on: str = ""
    """a part of the path of the requests that it may strike"""
    method: str = ""
    skip: int = 0
    times: int = 1
    share: float = 1.0
    """below 1: which of the requests it strikes is drawn by ``seed``"""
    seed: int = 0
    retry_after: str = ""
    """seconds, in the header of that name"""
    seconds: float = 1.0
    """how long a ``timeout`` is silent; how much a clock is off (``clock_skew``)"""
    record: str = ""
    """``poison``: no answer in which this id stands can be made, unless it shows hardly more than ids"""
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strikes(self, request: Request) -> bool:
        if self.times <= 0 or self.on not in request.path or self.method not in ("", request.method):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        return self.share >= 1.0 or self._random.random() < self.share

    def count(self) -> None:
        self.times -= 1
        self.struck += 1


class Faults:
    """The faults on order in one sandbox of ``kind``."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._ordered: list[Fault] = []
        self._struck: Counter[str] = Counter()
        self._pages: dict[tuple[str, ...], Answer] = {}

    def control(self, request: Request) -> Answer:
        """Answer a request to ``PATH``."""
        if request.method == "POST":
            try:
                self._ordered = self._read(json.loads(request.body))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                wrong = str(error) if isinstance(error, ValueError) and type(error) is ValueError else "no such order"
                return Answer(400, dumps({"error": wrong}))
            self._struck.clear()
            self._pages.clear()
        elif request.method == "DELETE":
            self._ordered = []
        elif request.method != "GET":
            return Answer(405, dumps({"error": "GET, POST or DELETE"}))
        return Answer(200, dumps({"faults": [asdict(each) for each in self._ordered], "struck": self._struck}))

    def _read(self, body: Json) -> list[Fault]:
        known = {each.name for each in fields(Fault) if each.init}
        ordered = []
        for given in body["faults"]:
            if given.get("kind") not in KINDS and OF_ONE.get(given.get("kind")) != self.kind:
                own = [name for name, kind in OF_ONE.items() if kind == self.kind]
                raise ValueError(f"kind must be one of {', '.join([*KINDS, *own])}")
            if strange := given.keys() - known:
                raise ValueError(f"no such field: {', '.join(sorted(strange))}")
            ordered.append(Fault(**given))
        return ordered

    def of(self, request: Request) -> Fault | None:
        """The fault that strikes a request before it is answered, or in how; the first one that was ordered."""
        lives_here = request.headers.get("authorization", "").endswith("simulator")
        for fault in self._ordered:
            if fault.kind == "poison" or (lives_here and fault.kind != "clock_skew"):
                continue
            if fault.kind == "duplicate" and _walk(request) not in self._pages:
                continue
            if fault.kind == "out_of_order" and not request.path.endswith("/events"):
                continue
            if fault.strikes(request):
                fault.count()
                self._struck[fault.kind] += 1
                return fault
        return None

    def before(self, fault: Fault | None, request: Request) -> tuple[Request, Answer | None]:
        """The request as it is to be answered, and the answer if that needs nobody."""
        if fault is None:
            return request, None
        if fault.kind == "clock_skew":
            return replace(request, skew=fault.seconds), None
        if fault.kind == "duplicate":
            return request, self._pages[_walk(request)]
        status = {"request_limit": 403, "session": 401}.get(fault.kind) or REFUSALS.get(fault.kind)
        if status is None:
            return request, None
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        return request, Answer(status, self._refusal(status), headers)

    def after(self, fault: Fault | None, request: Request, answer: Answer) -> Answer:
        """The answer as it is sent."""
        if answer.status < 300 and self._is_poisoned(request, answer):
            self._struck["poison"] += 1
            return Answer(500, self._refusal(500))
        if fault is None or fault.kind != "duplicate":
            walk = _walk(request)
            if answer.status < 300 and _goes_on(answer):
                self._pages[walk] = answer
            else:
                self._pages.pop(walk, None)
        if fault is not None and fault.kind == "out_of_order" and answer.status < 300:
            return replace(answer, body=_shuffled(answer.body))
        if fault is not None and fault.kind == "garbled":
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        if fault is not None and fault.kind == "truncated":
            whole = {"content-length": str(len(answer.body.encode()))}
            return replace(answer, body=answer.body[: len(answer.body) // 2], headers=answer.headers | whole)
        return answer

    def _is_poisoned(self, request: Request, answer: Answer) -> bool:
        if request.headers.get("authorization", "").endswith("simulator"):
            return False
        poisons = [each for each in self._ordered if each.kind == "poison" and each.on in request.path]
        if not any(f'"{each.record}"' in answer.body for each in poisons):
            return False
        return not _asks_for_little(request)

    def _refusal(self, status: int) -> str:
        code, message = _CODES[self.kind][status], "A fault was ordered for this request."
        if self.kind == "stripe":
            return dumps({"error": {"type": "api_error", "code": code, "message": message}})
        if self.kind == "hubspot":
            return dumps({"status": "error", "message": message, "correlationId": "", "category": code})
        return dumps([{"errorCode": code, "message": message}])


def _walk(request: Request) -> tuple[str, ...]:
    """What tells the pages of one list from those of another: the request without its cursor."""
    query = sorted(f"{name}={value}" for name, value in request.query if name not in _CURSORS)
    body = request.body.decode("utf-8", "replace")
    if '"after"' in body:
        try:
            body = dumps({name: value for name, value in json.loads(body).items() if name != "after"})
        except (ValueError, AttributeError):
            pass
    return (request.method, _LOCATOR.sub("", request.path), *query, body)


def _asks_for_little(request: Request) -> bool:
    """Whether only ids are asked for, and at most a stamp: what a poisoned record can still be named by."""
    query = dict(request.query)
    if "q" in query:  # SOQL
        return query["q"].partition(" FROM ")[0].count(",") < 2
    try:
        asked = query.get("properties") or ",".join(json.loads(request.body)["properties"])
    except (ValueError, KeyError, TypeError):
        return False
    return asked == "hs_object_id"


def _goes_on(answer: Answer) -> bool:
    """Whether an answer is a page after which another one comes."""
    return (
        '"has_more":true' in answer.body
        or '"paging":{"next"' in answer.body
        or '"nextRecordsUrl"' in answer.body
        or answer.headers.get("Sforce-Locator", "null") != "null"
    )


def _shuffled(body: str) -> str:
    """Events that share a second, which have no order among themselves, in the reverse one."""
    page: Json = json.loads(body)
    page["data"] = [event for run in _runs(page["data"]) for event in reversed(run)]
    return dumps(page)


def _runs(events: Iterable[Json]) -> list[list[Any]]:
    runs: list[list[Any]] = []
    for event in events:
        if runs and runs[-1][0]["created"] == event["created"]:
            runs[-1].append(event)
        else:
            runs.append([event])
    return runs


assert set(_CODES) == set(get_args(Kind))
