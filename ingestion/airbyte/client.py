"""The Airbyte server through its official client, with failures in one line each.

Answers are read as the JSON they are: the client's own models know a configuration only by the fields that its release
knew, and take one connector's for another's. Requests go through its models, which refuse a configuration that the
connector would. No message here holds a secret: what the server says is searched for each one that was used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
import pydantic
from airbyte_api import AirbyteAPI, api, errors, models
from airbyte_api.utils import BackoffStrategy, RetryConfig

from ingestion.airbyte.desired import Secret
from settings import Airbyte, TailraceError, secret

PAGE = 100
_REQUEST_MS = 60_000
_CONFIGURATIONS: Mapping[str, Any] = {
    "postgres": models.SourcePostgres,
    "stripe": models.SourceStripe,
    "hubspot": models.SourceHubspot,
    "salesforce": models.SourceSalesforce,
    "snowflake": models.DestinationSnowflake,
}


class AirbyteError(TailraceError):
    """The server refused or did not answer. ``status`` is HTTP's; None when no answer came."""

    def __init__(self, line: str, *, status: int | None) -> None:
        super().__init__(line)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a little later."""
        return self.status is None or self.status in (429, 500, 502, 503, 504)


class AirbyteClient:
    """One workspace of one server. ``patience`` is how long, in seconds, a passing fault is waited out."""

    def __init__(self, airbyte: Airbyte, *, patience: float = 60.0) -> None:
        self._airbyte = airbyte
        self._url = airbyte.url.rstrip("/")
        self._where = f"Airbyte {_without_userinfo(self._url)}"
        self._patience = patience
        self._secrets: set[str] = set()
        self._waiting = _backoff(patience, connections=True)
        # A create that seemed to fail may have succeeded: only a request that was turned away unread is repeated.
        self._turned_away = _backoff(patience, connections=False, codes=["429"])
        self._api = AirbyteAPI(
            server_url=self._url,
            security=models.Security(
                client_credentials=models.SchemeClientCredentials(
                    client_id=self.reveal(Secret(airbyte.client_id_env)),
                    client_secret=self.reveal(Secret(airbyte.client_secret_env)),
                    token_url=f"{self._url}/applications/token",  # a relative one would lose the path of the server
                )
            ),
            retry_config=self._waiting,
            timeout_ms=_REQUEST_MS,
        )

    def close(self) -> None:
        client = self._api.sdk_configuration.client
        if isinstance(client, httpx.Client):
            client.close()

    def reveal(self, held: Secret) -> str:
        """A secret's value, which no message of this client will show from now on."""
        value = secret(held.variable, "Airbyte")
        self._secrets |= {value, *value.splitlines()}
        return value

    # ------------------------------------------------------------------------------------------------- resources

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """Every source, destination or connection of the workspace, as the server describes it."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._page(kind, offset=len(found))
            found += page.get("data") or []
            if not page.get("next") or not page.get("data"):
                return found

    def check_workspace(self) -> None:
        """Raises AirbyteError when the workspace does not exist or may not be seen."""
        asked = api.GetWorkspaceRequest(workspace_id=self._airbyte.workspace_id)
        self._get(f"workspace {asked.workspace_id}", lambda: self._api.workspaces.get_workspace(request=asked))

    def create(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create a resource and return it as the server describes it. Not repeated when its outcome is unknown."""
        typed = self._typed(kind, name, {**body, "name": name})
        calls: dict[str, Callable[[], Any]] = {
            "source": lambda: self._api.sources.create_source(
                request=models.SourceCreateRequest(**typed, workspace_id=self._airbyte.workspace_id),
                retries=self._turned_away,
            ),
            "destination": lambda: self._api.destinations.create_destination(
                request=models.DestinationCreateRequest(**typed, workspace_id=self._airbyte.workspace_id),
                retries=self._turned_away,
            ),
            "connection": lambda: self._api.connections.create_connection(
                request=models.ConnectionCreateRequest(**typed), retries=self._turned_away
            ),
        }
        return self._get(f"{kind} {name}", calls[kind], once=True)

    def update(self, kind: str, name: str, resource_id: str, body: dict[str, Any]) -> None:
        typed = self._typed(kind, name, body)
        calls: dict[str, Callable[[], Any]] = {
            "source": lambda: self._api.sources.patch_source(
                request=api.PatchSourceRequest(
                    source_id=resource_id, source_patch_request=models.SourcePatchRequest(**typed)
                )
            ),
            "destination": lambda: self._api.destinations.patch_destination(
                request=api.PatchDestinationRequest(
                    destination_id=resource_id, destination_patch_request=models.DestinationPatchRequest(**typed)
                )
            ),
            "connection": lambda: self._api.connections.patch_connection(
                request=api.PatchConnectionRequest(
                    connection_id=resource_id, connection_patch_request=models.ConnectionPatchRequest(**typed)
                )
            ),
        }
        self._get(f"{kind} {name}", calls[kind])

    def delete(self, kind: str, name: str, resource_id: str) -> None:
        """Delete a resource; one that is gone already is none the worse."""
        calls: dict[str, Callable[[], Any]] = {
            "source": lambda: self._api.sources.delete_source(request={"source_id": resource_id}),
            "destination": lambda: self._api.destinations.delete_destination(request={"destination_id": resource_id}),
            "connection": lambda: self._api.connections.delete_connection(request={"connection_id": resource_id}),
        }
        try:
            self._call(f"{kind} {name}", calls[kind])
        except AirbyteError as error:
            if error.status != 404:
                raise

    def streams(self, source_id: str, destination_id: str) -> dict[str, set[str]]:
        """Stream (``namespace.name`` where it has a namespace) → its top-level fields, as the source shows them now."""
        request = api.GetStreamPropertiesRequest(source_id=source_id, destination_id=destination_id, ignore_cache=True)
        listed = self._get("the source's schema", lambda: self._api.streams.get_stream_properties(request=request))
        return {
            (f"{each['streamnamespace']}." if each.get("streamnamespace") else "") + each["streamName"]: {
                path[0] for path in each.get("propertyFields") or [] if path
            }
            for each in listed
        }

    # ------------------------------------------------------------------------------------------------------ jobs

    def jobs(self, connection_id: str, *, status: str | None = None) -> list[dict[str, Any]]:
        """The connection's latest sync jobs, newest first, 100 at most."""
        request = api.ListJobsRequest(
            connection_id=connection_id,
            job_type=models.JobTypeEnum.SYNC,
            limit=PAGE,
            order_by="createdAt|DESC",
            status=models.JobStatusEnum(status) if status else None,
        )
        page = self._get("jobs", lambda: self._api.jobs.list_jobs(request=request))
        return sorted(page.get("data") or [], key=lambda job: int(job["jobId"]), reverse=True)

    def start(self, connection_id: str) -> dict[str, Any]:
        """Ask for a sync. A 409 says that one runs already; it is not repeated when its outcome is unknown."""
        request = models.JobCreateRequest(connection_id=connection_id, job_type=models.JobTypeEnum.SYNC)
        waiting = self._turned_away
        return self._get("sync", lambda: self._api.jobs.create_job(request=request, retries=waiting), once=True)

    def job(self, job_id: int) -> dict[str, Any]:
        return self._get(f"job {job_id}", lambda: self._api.jobs.get_job(request={"job_id": job_id}))

    def cancel(self, job_id: int) -> None:
        self._call(f"job {job_id}", lambda: self._api.jobs.cancel_job(request={"job_id": job_id}))

    def job_url(self, connection_id: str, job_id: int) -> str:
        """Where a person reads the job's log."""
        base = self._url.removesuffix("/api/public/v1").replace(
            "https://api.airbyte.com/v1", "https://cloud.airbyte.com"
        )
        return (
            f"{_without_userinfo(base)}/workspaces/{self._airbyte.workspace_id}/connections/{connection_id}"
            f"/timeline?jobId={job_id}&openLogs=true"
        )

    # -------------------------------------------------------------------------------------------------- plumbing

    def _page(self, kind: str, *, offset: int) -> dict[str, Any]:
        request: Any = {"workspace_ids": [self._airbyte.workspace_id], "limit": PAGE, "offset": offset}
        calls: dict[str, Callable[..., Any]] = {
            "source": self._api.sources.list_sources,
            "destination": self._api.destinations.list_destinations,
            "connection": self._api.connections.list_connections,
        }
        return self._get(f"{kind}s", lambda: calls[kind](request=request))

    def _typed(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body with secrets put in, and the configuration held to the connector's own model."""
        if kind == "connection":
            return body
        revealed = self._revealed(body["configuration"])
        model = _CONFIGURATIONS[revealed.get("sourceType") or revealed["destinationType"]]
        try:
            return {**body, "configuration": model.model_validate(revealed)}
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise TailraceError(f"{kind} {name}: {place}: {first['type']}; mend it in tailrace.yml") from None

    def _revealed(self, node: Any) -> Any:
        if isinstance(node, Secret):
            return self.reveal(node)
        return {key: self._revealed(value) for key, value in node.items()} if isinstance(node, dict) else node

    def _get(self, what: str, call: Callable[[], Any], *, once: bool = False) -> Any:
        return self._call(what, call, once=once).json()

    def _call(self, what: str, call: Callable[[], Any], *, once: bool = False) -> httpx.Response:
        """The raw answer. ``once``: the request may have been carried out although no answer came.

        The official client waits out refused connections and 429 and 5xx answers, but neither a connection that breaks
        (it keeps them, and a server that restarts breaks them) nor a token that the server forgot: that is done here.
        """
        deadline, pause, renewed = time.monotonic() + self._patience, 0.1, False
        while True:
            try:
                return call().raw_response
            except errors.ResponseValidationError as error:
                if error.raw_response.is_success:  # a field that the client's release does not know
                    return error.raw_response
                raise self._refused(what, error) from None
            except errors.AirbyteAPIError as error:
                if error.status_code != 401 or renewed:
                    raise self._refused(what, error) from None
                renewed = True  # the client has dropped the token, and asks for a new one
            except httpx.RemoteProtocolError as error:
                if once or time.monotonic() > deadline:
                    raise self._unreachable(error) from None
                time.sleep(pause)
                pause *= 2
            except (httpx.HTTPError, errors.NoResponseError) as error:
                raise self._unreachable(error) from None
            except pydantic.ValidationError as error:
                kind = error.errors(include_input=False)[0]["type"]
                raise TailraceError(f"{what}: {kind}; mend tailrace.yml") from None
            except Exception as error:
                raise self._no_token(error) from None

    def _unreachable(self, error: Exception) -> AirbyteError:
        return AirbyteError(
            f"{self._where}: not reachable ({type(error).__name__}); check airbyte.url, and that the server runs",
            status=None,
        )

    def _refused(self, what: str, error: errors.AirbyteAPIError) -> AirbyteError:
        status, credentials = error.status_code, f"{self._airbyte.client_id_env} and {self._airbyte.client_secret_env}"
        if status == 401:
            line = f"the application in {credentials} was refused (401); create one there and export both"
        elif status == 403:
            line = f"the application in {credentials} may not touch {what} (403); give it editor of the workspace"
        elif status == 404:
            line = f"{what} is not there (404); check airbyte.url and airbyte.workspace_id"
        elif status == 409:
            line = f"{what} is being changed or synced by someone else (409); wait for that and run again"
        elif status in (400, 422):
            line = f"{what} was refused as invalid ({status}: {self._said(error.body)}); mend it in tailrace.yml"
        elif status == 429 or status >= 500:
            line = f"still answers {status} to {what} after many tries; run again later, it goes on from here"
        else:
            line = f"answers {status} to {what}; check airbyte.url"
        return AirbyteError(f"{self._where}: {line}", status=status)

    def _no_token(self, error: Exception) -> TailraceError:
        """The client raises a bare Exception for a token request that was refused."""
        status = next((int(word) for word in str(error).split() if word.isdigit() and len(word) == 3), None)
        if status is None:
            return AirbyteError(
                f"{self._where}: unforeseen {type(error).__name__} of its client; check airbyte.url", status=0
            )
        if status in (429, 500, 502, 503, 504):
            return AirbyteError(f"{self._where}: gives no token now ({status}); run again later", status=status)
        names = f"{self._airbyte.client_id_env} and {self._airbyte.client_secret_env}"
        return AirbyteError(
            f"{self._where}: no token for the application in {names} ({status}); create one there and export both",
            status=status,
        )

    def _said(self, body: str) -> str:
        """The server's own words, short and without any secret that it may quote."""
        try:
            problem = httpx.Response(200, text=body).json()
            data = problem.get("data") or {}
            text = data.get("message") or problem.get("detail") or problem.get("message") or problem.get("title") or ""
        except (ValueError, AttributeError):
            return "no reason given"
        text = " ".join(str(text).split())
        for value in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(value, "(secret)")
        return text[:200] or "no reason given"


def _backoff(patience: float, *, connections: bool, codes: list[str] | None = None) -> RetryConfig:
    """Waits 0.25 s, 0.5 s, … up to 10 s, with jitter; a ``Retry-After`` is obeyed."""
    strategy = BackoffStrategy(250, 10_000, 2.0, round(patience * 1000), jitter_ms=250)
    return RetryConfig("backoff", strategy, connections, status_codes_override=codes)


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def variables(node: Any) -> set[str]:
    """The environment variables that a configuration takes its secrets from."""
    if isinstance(node, Secret):
        return {node.variable}
    return set().union(*(variables(value) for value in node.values())) if isinstance(node, Mapping) else set()


def missing_variables(names: set[str]) -> list[str]:
    return sorted(name for name in names if not os.environ.get(name, "").strip())
