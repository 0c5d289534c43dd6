"""What is asked of HubSpot beyond a list: searches, records by their ids, associations, past values, properties.

Every method may be called from several threads. A record comes with what hangs on it: ``ties`` (kind → associations),
``company_id`` (the company that they name), and for line items ``deal_id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.land import RawColumn
from ingestion.rest import Connector, Json, RestClient, UnreadableError, reach
from ingestion.rest.pages import Lists, Page

SEARCHED = 200
READ, READ_WITH_HISTORY, TIED = 100, 50, 1_000
_PREFIX = "properties_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Read:
    """Records by their ids: those that are there, ids that are not, and ids of which no answer can be made."""

    records: list[Json] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def __iadd__(self, other: Read) -> Read:
        self.records += other.records
        self.gone += other.gone
        self.broken += other.broken
        return self


class HubSpotLists(Lists):
    """The lists of one portal."""

    def __init__(self, client: RestClient, connector: Connector, *, columns: Mapping[str, Sequence[RawColumn]]) -> None:
        """``columns`` are those that land, by stream."""
        super().__init__(client, connector)
        self._wanted = {
            name: [c.name.removeprefix(_PREFIX) for c in columns[name] if c.name.startswith(_PREFIX)]
            for name, spec in connector.streams.items()
            if "modified" in spec.properties
        }

    def learn(self) -> dict[str, tuple[str, ...]]:
        """Ask for the properties that the portal has; of those that should land, the ones that it does not have.

        From then on properties of the portal's own are read along, also such as no contract classifies.
        """
        missing = {}
        for stream, wanted in self._wanted.items():
            found = self._client.get(f"/crm/v3/properties/{stream}")["results"]
            known = {each["name"]: bool(each.get("hubspotDefined", True)) for each in found}
            lost = tuple(name for name in wanted if name not in known)
            if lost:
                missing[stream] = lost
            own = [name for name, defined in known.items() if not defined and name not in wanted]
            self._wanted[stream] = sorted({*wanted, *own} - set(lost))
        return missing

    # lists

    def page(self, stream: str, *, after: str | None = None, query: Sequence[tuple[str, str]] = ()) -> Page:
        """As of every source. Of a page that cannot be made its records are read one by one, as far as they can be."""
        if stream not in self._wanted:
            return super().page(stream, after=after, query=query)
        try:
            page = super().page(stream, after=after, query=query)
        except UnreadableError:
            how = self._connector.pages_of(stream)
            asked = [("limit", str(how.size)), ("properties", "hs_object_id")]
            bare = self._client.get(self._path(stream), [*asked, *([("after", after)] if after is not None else [])])
            read = self.read(stream, [item["id"] for item in bare["results"]])
            token = reach(bare, str(how.next))
            return Page(read.records, None if token is None else str(token), [int(key) for key in read.broken])
        self._tie(stream, [item for item in page.records if isinstance(item, dict)])
        return page

    def archived(self, stream: str, after: str | None) -> tuple[list[str], str | None]:
        """A page of the ids in the archive, which no search shows and no filter narrows."""
        query = [("limit", "100"), ("archived", "true"), ("properties", "hs_object_id")]
        answer = self._client.get(self._path(stream), [*query, *([("after", after)] if after is not None else [])])
        token = reach(answer, "paging.next.after")
        return [item["id"] for item in answer["results"]], None if token is None else str(token)

    def _query(self, stream: str) -> list[tuple[str, str]]:
        if stream not in self._wanted:
            return super()._query(stream)
        history = self._history(stream)
        asked = [("properties", ",".join(self._wanted[stream]))]
        return asked + ([("propertiesWithHistory", ",".join(history))] if history else [])

    # searches

    def find(
        self, stream: str, filters: Sequence[Json], *, sort: str, descending: bool = False, limit: int = SEARCHED
    ) -> list[tuple[str, int]]:
        """The first ``limit`` records that meet all filters, as the index shows them: id and stamp (ms)."""
        body: Json = {
            "limit": limit,
            "sorts": [{"propertyName": sort, "direction": "DESCENDING" if descending else "ASCENDING"}],
            "properties": ["hs_object_id"],
            "filterGroups": [{"filters": list(filters)}] if filters else [],
        }
        found = self._client.post(f"{self._path(stream)}/search", body)["results"]
        return [(item["id"], self._stamp(stream, item)) for item in found]

    def modified(self, stream: str) -> str:
        """The property that dates the last modification."""
        return str(self._connector.streams[stream].properties["modified"])

    def _stamp(self, stream: str, item: Json) -> int:
        return milliseconds(item["properties"].get(self.modified(stream)) or item["updatedAt"])

    # records by their ids

    def read(self, stream: str, keys: Sequence[str]) -> Read:
        """Records by their ids, with what hangs on them; of one that was merged into another, that one."""
        size = READ_WITH_HISTORY if self._history(stream) else READ
        read = Read()
        for start in range(0, len(keys), size):
            read += self._read(stream, keys[start : start + size], hasty=False)
        # two ids may have led to one record
        read.records = list({item["id"]: item for item in read.records}.values())
        self._tie(stream, read.records)
        return read

    def _read(self, stream: str, keys: Sequence[str], *, hasty: bool) -> Read:
        body: Json = {"inputs": [{"id": key} for key in keys], "properties": self._wanted[stream]}
        if history := self._history(stream):
            body["propertiesWithHistory"] = history
        try:
            answer = self._client.post(f"{self._path(stream)}/batch/read", body, hasty=hasty)
        except UnreadableError:
            if not hasty:
                self.check()
            if len(keys) == 1:
                return Read(broken=list(keys))
            half = len(keys) // 2
            read = self._read(stream, keys[:half], hasty=True)
            read += self._read(stream, keys[half:], hasty=True)
            return read
        lost = [key for error in answer.get("errors") or [] for key in (error.get("context") or {}).get("ids") or []]
        return Read(records=list(answer["results"]), gone=lost)

    def _history(self, stream: str) -> list[str]:
        return list(self._connector.streams[stream].properties.get("history") or [])

    # associations

    def _tie(self, stream: str, items: Sequence[Json]) -> None:
        """Complete records by what they are associated with, and with that by the company they belong to."""
        spec = self._connector.streams[stream].properties
        keys = [str(item["id"]) for item in items]
        if not keys:
            return
        if through := spec.get("through"):
            ties = self.associations(stream, through, keys)
            owners = self._companies_of(through, {str(to["toObjectId"]) for found in ties.values() for to in found})
            for item in items:
                above = [str(to["toObjectId"]) for to in ties.get(str(item["id"]), [])]
                item["deal_id"] = above[0] if above else None
                item["company_id"] = next((owners[key] for key in above if owners.get(key)), None)
            return
        for kind in spec.get("ties") or ():
            ties = self.associations(stream, kind, keys)
            for item in items:
                item.setdefault("ties", {})[kind] = ties.get(str(item["id"]), [])
        for item in items:
            item["company_id"] = self._company(spec, item)

    def associations(self, stream: str, kind: str, keys: Iterable[str]) -> dict[str, list[Json]]:
        """Id → all that it is associated with of a kind, as the v4 API shows it."""
        found: dict[str, list[Json]] = {}
        asked: list[Json] = [{"id": key} for key in keys]
        while asked:
            more: list[Json] = []
            for start in range(0, len(asked), TIED):
                body = {"inputs": asked[start : start + TIED]}
                answer = self._client.post(f"/crm/v4/associations/{stream}/{kind}/batch/read", body)
                for each in answer["results"]:
                    key = str(each["from"]["id"])
                    found.setdefault(key, []).extend(each["to"])
                    after = reach(each, "paging.next.after")
                    if after is not None:
                        more.append({"id": key, "after": str(after)})
            asked = more
        return found

    def _company(self, spec: Mapping[str, Any], item: Json) -> str | None:
        """The primary company, else the first one."""
        ties = reach(item, "ties.companies") or []
        primary = [to for to in ties if any(each["typeId"] == spec.get("primary") for each in to["associationTypes"])]
        return str((primary or ties)[0]["toObjectId"]) if ties else None

    def _companies_of(self, stream: str, keys: set[str]) -> dict[str, str | None]:
        """Id → company of records that other ones are placed by."""
        paths = self._connector.streams[stream].residency.subject
        names = [path.removeprefix(_PREFIX) for path in paths if path.startswith(_PREFIX)]
        owners: dict[str, str | None] = {}
        ordered = sorted(keys)
        for start in range(0, len(ordered), READ):
            body = {"inputs": [{"id": key} for key in ordered[start : start + READ]], "properties": names}
            for item in self._client.post(f"{self._path(stream)}/batch/read", body)["results"]:
                owners[item["id"]] = next((item["properties"][n] for n in names if item["properties"].get(n)), None)
        return owners


def milliseconds(text: str | None) -> int:
    """A stamp as HubSpot writes it, in ms since 1970; 0 for none."""
    moment = datetime.fromisoformat(text) if text else _EPOCH
    return (moment - _EPOCH) // timedelta(milliseconds=1)
