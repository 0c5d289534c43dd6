"""What is asked of Salesforce: log in, describe, count, pages of a query, Bulk 2.0 query jobs. Errors are one line.

simple-salesforce does the talking. An expired session is answered by one new login. A body that is cut or garbled is
asked for again, and told as unreadable when it stays so.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from simple_salesforce.login import SalesforceLogin

from ingestion.salesforce.session import PatientSession, UnreadableError, error_code
from settings import SalesforceSource, TailraceError

BULK_PAGE = 4_000  # as rows of a transaction: what a page takes in memory is most of what a reader takes
JOB_SECONDS = 7_200.0
_BODY_TRIES = 3
# Not of the request's making, and it may go better with less asked for.
_TOO_MUCH = frozenset({"QUERY_TIMEOUT", "OPERATION_TOO_LARGE", "UNKNOWN_EXCEPTION", "QUERY_TOO_COMPLICATED"})
_STALE = frozenset({"INVALID_QUERY_LOCATOR", "INVALID_LOCATOR"})
csv.field_size_limit(16_000_000)  # a long text area holds 131,072 characters, which is just too many for the default

Result = TypeVar("Result")


class MissingError(TailraceError):
    """The object, job or locator that was asked for does not exist (any more), or the user may not see it."""


@dataclass(frozen=True)
class Page:
    """Records as they came (nested from a query, flat from a job) and where to go on; '' when that was all."""

    records: list[dict[str, Any]]
    more: str
    total: int


class Org:
    """One org, logged in."""

    def __init__(self, source: SalesforceSource, session: PatientSession) -> None:
        """Logs in. Raises TailraceError when the org cannot be reached or refuses the credential."""
        self._source = source
        self._session = session
        self._where = session.host
        self._client = self._log_in()

    def check_budget(self) -> None:
        """Ask for the org's limits: from then on every answer says how much is used."""
        self._ask("limits", lambda: self._client.limits())

    def hasty(self) -> AbstractContextManager[None]:
        """For requests that are expected to fail again."""
        return self._session.hasty()

    def describe(self, name: str) -> list[dict[str, Any]]:
        """The fields of an object. Raises MissingError when the org does not show it."""
        found = self._ask(f"describe {name}", lambda: self._get(f"sobjects/{name}/describe"))
        return list(found["fields"])

    def query(self, soql: str) -> Page:
        """The first page of a query that hears of deleted records, too."""
        return _page(self._ask(_what(soql), lambda: self._client.query(soql, include_deleted=True)))

    def query_more(self, locator: str) -> Page:
        """The page that ``Page.more`` named."""
        return _page(self._ask("next page", lambda: self._client.query_more(locator, identifier_is_url=True)))

    def start_job(self, soql: str) -> str:
        """A Bulk 2.0 query job that hears of deleted records, too; its id."""
        body = {"operation": "queryAll", "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA"}
        made = self._ask(_what(soql), lambda: self._get("jobs/query", method="POST", json=body))
        return str(made["id"])

    def await_job(self, job: str) -> None:
        """Wait until a job is done, asking ever more rarely.

        Raises UnreadableError when it failed, MissingError when nobody knows it, TailraceError when it takes too long.
        """
        deadline, pause = time.monotonic() + JOB_SECONDS, 0.1
        while True:
            state = self._ask("query job", lambda: self._get(f"jobs/query/{job}"))["state"]
            if state == "JobComplete":
                return
            if state in ("Failed", "Aborted"):
                raise UnreadableError(f"Salesforce {self._where}: a query job ended as {state.lower()}")
            if time.monotonic() > deadline:
                raise TailraceError(f"Salesforce {self._where}: a query job is not done yet; run again, it goes on")
            time.sleep(pause)
            pause = min(pause * 1.5, 30.0)

    def job_page(self, job: str, locator: str) -> Page:
        """A page of a job's results; ``locator`` '' for the first."""
        return self._ask("results of a query job", lambda: self._results(job, locator))

    def _get(self, path: str, **options: Any) -> dict[str, Any]:
        return dict(self._client.restful(path, **options) or {})

    def _results(self, job: str, locator: str) -> Page:
        answer = self._session.request(
            "GET",
            f"{self._client.bulk2_url}query/{job}/results",
            params={"maxRecords": BULK_PAGE, **({"locator": locator} if locator else {})},
            headers={**self._client.headers, "Accept": "text/csv"},
        )
        if answer.status_code >= 300:
            raise _refusal(answer)
        try:
            expected = int(answer.headers["Sforce-NumberOfRecords"])
            # decoded as it is read: the text as a whole would take four bytes a character
            body = io.TextIOWrapper(io.BytesIO(answer.content.replace(b"\0", b"")), "utf-8", newline="")
            rows = csv.reader(body, strict=True)
            names = next(rows)
            records: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in rows]
        except (UnicodeDecodeError, csv.Error, KeyError, ValueError, StopIteration):
            raise _BrokenError from None
        if len(records) != expected:
            raise _BrokenError
        more = answer.headers.get("Sforce-Locator", "")
        return Page(records, "" if more == "null" else more, expected)

    # logging in, and asking

    def _log_in(self) -> Salesforce:
        credentials = self._credentials()
        try:
            for attempt in range(_BODY_TRIES):
                try:
                    session_id, instance = SalesforceLogin(session=self._session, **credentials)
                    break
                except SalesforceAuthenticationFailed as error:  # a status for a code: the body was no JSON
                    if isinstance(error.code, str) or attempt == _BODY_TRIES - 1:
                        raise
                    self._session.retries += 1
        except SalesforceAuthenticationFailed as error:
            code = error.code if isinstance(error.code, str) and error.code.replace("_", "").isalnum() else "refused"
            names = [self._source.client_id_env, self._source.client_secret_env, self._source.private_key_env]
            named = ", ".join(filter(None, [*names, self._source.password_env]))
            raise TailraceError(
                f"Salesforce {self._where}: the login by {self._source.auth} was refused ({code}); check {named}"
            ) from None
        except TailraceError:
            raise
        except Exception as error:  # a malformed private key, an answer that is no login: either may quote a secret
            raise TailraceError(
                f"Salesforce {self._where}: the login by {self._source.auth} failed ({type(error).__name__}); "
                "check its url and credentials"
            ) from None
        return Salesforce(
            session_id=session_id,
            instance=instance,
            session=self._session,
            version=self._source.api_version,
            object_pairs_hook=dict,
            parse_float=str,  # numbers stay as they are spelled
        )

    def _credentials(self) -> dict[str, Any]:
        source = self._source
        domain = self._where.removesuffix(".salesforce.com")
        given: dict[str, Any] = {"consumer_key": source.secret("client_id"), "domain": domain}
        if source.auth == "client_credentials":
            return given | {"consumer_secret": source.secret("client_secret")}
        if not source.username:
            raise TailraceError(f"sources.salesforce.username: {source.auth} needs it; name the integration user")
        given |= {"username": source.username}
        if source.auth == "jwt_bearer":
            audience = "test" if ".sandbox." in self._where else "login"
            return given | {
                "domain": audience,
                "instance_url": domain,
                "privatekey": source.secret("private_key"),
            }
        password = source.secret("password")
        if source.security_token_env:
            password += source.secret("security_token")
        return given | {"consumer_secret": source.secret("client_secret"), "password": password}

    def _ask(self, what: str, request: Callable[[], Result]) -> Result:
        fresh = False
        for attempt in range(_BODY_TRIES + 1):
            try:
                return request()
            except SalesforceError as error:
                if error.status != 401 or fresh:
                    raise self._told(what, error.status, _code(error)) from None
                self._client, fresh = self._log_in(), True
            except (_BrokenError, requests.exceptions.JSONDecodeError, ValueError):
                if attempt >= _BODY_TRIES - 1:
                    break
                self._session.retries += 1
                time.sleep(0.2 * attempt)
        raise UnreadableError(
            f"Salesforce {self._where}: {what}: answers with something that is not its API's; check its url"
        )

    def _told(self, what: str, status: int, code: str) -> TailraceError:
        where = f"Salesforce {self._where}: {what}"
        if status == 401:
            return TailraceError(f"{where}: a new session was refused, too (401); check the integration user")
        if status == 404 or code in _STALE or code == "INVALID_TYPE":
            return MissingError(
                f"{where}: not found ({code or status}); create it, or grant the integration user access"
            )
        if code in _TOO_MUCH:
            return UnreadableError(f"{where}: answers {status} ({code})")
        if status == 403:
            return TailraceError(f"{where}: not permitted ({code or status}); grant the integration user API access")
        return TailraceError(f"{where}: answers {status}{f' ({code})' if code else ''}; check the version and the url")


class _BrokenError(Exception):
    """The body is not whole."""


def _page(answer: dict[str, Any]) -> Page:
    return Page(answer["records"], "" if answer["done"] else answer["nextRecordsUrl"], int(answer["totalSize"]))


def _what(soql: str) -> str:
    return f"query {soql.partition(' FROM ')[2].partition(' ')[0]}"


def _code(error: SalesforceError) -> str:
    content = error.content
    first = content[0] if isinstance(content, list) and content else content
    code = first.get("errorCode") if isinstance(first, dict) else None
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60 else ""


def _refusal(answer: requests.Response) -> SalesforceError:
    code = error_code(answer).encode()
    refusal = SalesforceError("", answer.status_code, "", code)
    refusal.content = [{"errorCode": code.decode()}]  # type: ignore[assignment]
    return refusal
