"""Signing in and out, who one is, and the audit log."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from fusion_server.accounts import CredentialKind
from fusion_server.api.access import SESSION_COOKIE, Gate, address_of, is_safe_for_passwords
from fusion_server.api.answers import Body, answers, decoded, json_answer, only, request_body
from fusion_server.api.problems import ApiProblemError
from fusion_server.api.review_documents import (
    EXAMPLE_ACCESS,
    EXAMPLE_AUDIT,
    AuditPage,
    LoginRequest,
    access_document,
    audit_record,
)
from fusion_server.casebook import Casebook
from fusion_server.roles import Principal
from shotline.units import ns_from_seconds

__all__ = ["access_router"]

_LOGIN_EXAMPLE = LoginRequest(name="ann", password="correct horse battery staple")
_MOST_NAME_CHARACTERS = 64
_LARGEST_NUMBER = 2**62
_Limit = Annotated[int, Query(ge=1, le=1000, description="entries on a page")]
_After = Annotated[int, Query(ge=0, le=_LARGEST_NUMBER, description="number of the last entry that is known")]
_Subject = Annotated[str | None, Query(max_length=128, pattern=r"^[^\x00]*$", description="only entries about this")]


def access_router(gate: Gate, casebook: Casebook, *, now_ns: Callable[[], int]) -> APIRouter:
    """Return the routes of access and audit."""
    router = APIRouter()

    @router.get(
        "/access", summary="Who asks, and what they may do", responses=answers("AccessDocument", example=EXAMPLE_ACCESS)
    )
    def who_asks(request: Request) -> Response:
        """Return the account, its roles and rights; without one `name` is null."""
        return json_answer(access_document(request.state.principal, accounts=gate.rules.accounts))

    @router.post(
        "/access/login",
        summary="Sign in with a password, for a session in a cookie",
        responses=answers(
            "AccessDocument",
            example=EXAMPLE_ACCESS,
            others={401: "No such name and password", 409: "The server has no accounts", 413: "The body is too long"},
        ),
        openapi_extra=request_body("LoginRequest", _LOGIN_EXAMPLE),
    )
    def login(request: Request, body: Body) -> Response:
        """Give a session: a cookie that no script reads and no other site sends. Changes need a header beside it."""
        accounts = gate.accounts
        if not (gate.rules.plain_http or is_safe_for_passwords(request)):
            raise ApiProblemError(
                HTTPStatus.FORBIDDEN,
                "a password over http can be read by everybody on the way; use https (docs/server.md), or set "
                "[access] plain_http on a network you trust",
            )
        asked = decoded(body, LoginRequest)
        address = address_of(request)
        if not gate.take_login(asked.name, address):
            gate.watch.refusal("nobody", "login", {"address": address, "reason": "too many tries"})
            raise ApiProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                "too many tries to sign in, with this name or from this address; wait half a minute",
                headers={"Retry-After": "30"},
            )
        account = accounts.check_password(asked.name, asked.password)
        if account is None:
            known = len(asked.name) <= _MOST_NAME_CHARACTERS and accounts.find(asked.name) is not None
            # What is no account's name may be a password that slipped into the wrong field.
            subject = asked.name if known else "login"
            gate.watch.refusal("nobody", subject, {"address": address, "reason": "name and password do not match"})
            raise ApiProblemError(
                HTTPStatus.UNAUTHORIZED,
                "no account has this name and password; or it is disabled: ask who runs the server",
            )
        lifetime_ns = ns_from_seconds(gate.rules.session_s)
        secret = accounts.issue(
            CredentialKind.SESSION,
            account.name,
            name="session",
            lifetime_ns=lifetime_ns,
            time_ns=now_ns(),
            actor=account.name,
        )
        answer = json_answer(access_document(Principal(account.name, account.roles), accounts=True))
        answer.set_cookie(
            SESSION_COOKIE,
            secret,
            max_age=int(gate.rules.session_s),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post(
        "/access/logout",
        summary="Sign out: the session ends",
        responses=answers("AccessDocument", example=EXAMPLE_ACCESS),
    )
    def logout(request: Request) -> Response:
        """End the session of the cookie, if there is one."""
        secret, principal = request.cookies.get(SESSION_COOKIE), request.state.principal
        if gate.rules.accounts and secret is not None:
            if principal is not None:
                casebook.note(time_ns=now_ns(), actor=principal.name, action="logout", subject=principal.name)
            gate.accounts.revoke_secret(secret, time_ns=now_ns())
        answer = json_answer(access_document(None, accounts=gate.rules.accounts))
        answer.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
        return answer

    @router.get(
        "/audit",
        summary="The audit log, oldest first",
        responses=answers("AuditPage", example=EXAMPLE_AUDIT),
        dependencies=[Depends(only("limit", "after", "subject"))],
    )
    def audit(request: Request, limit: _Limit = 100, after: _After = 0, subject: _Subject = None) -> Response:
        """Return entries after a number; each holds the digest of the one before."""
        gate.watch.view(request.state.principal.name, "view_audit", subject or "")
        found = list(islice(casebook.audit(after=after, subject=subject), limit + 1))
        entries = [audit_record(entry) for entry in found[:limit]]
        following = None
        if len(found) > limit:
            url = request.url.include_query_params(after=entries[-1].number)
            following = f"{url.path}?{url.query}"
        return json_answer(AuditPage(entries=entries, next=following))

    return router
