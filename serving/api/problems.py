"""Errors as RFC 9457 problem documents. A refusal never says whether something exists."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """An answer other than success; ``detail`` is for the person who reads it."""

    def __init__(self, status: HTTPStatus, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class UnauthorizedError(ProblemError):
    """The same words whatever was wrong with the token."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.UNAUTHORIZED,
            "A valid bearer token is needed: it is missing, expired or not accepted here.",
            headers={"WWW-Authenticate": "Bearer"},
        )


class UnavailableError(ProblemError):
    """The database does not answer in time; asking again later may help."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The figures cannot be read at the moment; try again shortly.",
            headers={"Retry-After": "5"},
        )


class TooManyError(ProblemError):
    """The tenant has asked more than its share."""

    def __init__(self, retry: int, headers: dict[str, str]) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            "This tenant asks too often; wait for as long as Retry-After says.",
            headers={"Retry-After": str(retry)} | headers,
        )


class BusyError(ProblemError):
    """More is asked than can be answered now."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Too much is asked at the moment; try again shortly.",
            headers={"Retry-After": "1"},
        )


def document(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One problem document. Its type is about:blank: the status says what kind it is."""
    return JSONResponse(
        {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail},
        status_code=status.value,
        headers=headers,
        media_type=MEDIA_TYPE,
    )


def of(error: ProblemError) -> JSONResponse:
    return document(error.status, error.detail, error.headers)


def install(app: FastAPI) -> None:
    """Every error of the app leaves it as a problem document, without a word of its inside."""

    async def problem(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ProblemError)
        return of(error)

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        # Names and reasons only: what was sent is not said back.
        reasons = [
            f"{'.'.join(map(str, each['loc'][1:])) or 'query'}: {each['msg'].lower()}" for each in error.errors()
        ]
        return document(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(reasons))

    async def http(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        status = HTTPStatus(error.status_code)
        headers = dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"  # nothing is written through this API
        return document(status, status.description or status.phrase, headers)

    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return document(HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong on our side.")

    app.add_exception_handler(ProblemError, problem)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
