"""Who may ask what: every request passes here before its route. What is in no table is the engineer's."""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request

from fusion_server.accounts import Accounts, CredentialKind, digest_of
from fusion_server.admission import RateLimit, TokenBuckets
from fusion_server.api.problems import ApiProblemError
from fusion_server.casebook import Casebook
from fusion_server.oidc import BearerRefused, OidcVerifier, looks_like_jwt
from fusion_server.roles import EVERYBODY_HERE, Principal, Right
from shotline.units import NS_PER_S

__all__ = [
    "REQUEST_HEADER",
    "ROUTE_RIGHTS",
    "SESSION_COOKIE",
    "AccessRules",
    "Gate",
    "Watch",
    "address_of",
    "is_safe_for_passwords",
]

SESSION_COOKIE = "shotline_session"
REQUEST_HEADER = "x-shotline-request"
"""No page from elsewhere can send it: a browser asks first whether it may, and nothing here says yes."""

_ANYBODY: None = None
ROUTE_RIGHTS: Mapping[str, Right | None] = {
    "GET /": _ANYBODY,
    "GET /meta": _ANYBODY,
    "GET /health": _ANYBODY,
    "GET /access": _ANYBODY,
    "POST /access/login": _ANYBODY,
    "POST /access/logout": _ANYBODY,
    "GET /conformance": Right.FEATURES,
    "GET /collections": Right.FEATURES,
    "GET /collections/incidents": Right.FEATURES,
    "GET /collections/incidents/items": Right.FEATURES,
    "GET /collections/incidents/items/{incident_id}": Right.FEATURES,
    "GET /incidents": Right.INCIDENTS,
    "GET /incidents/{incident_id}": Right.INCIDENTS,
    "GET /incidents/{incident_id}.geojson": Right.INCIDENTS,
    "GET /incidents/{incident_id}/hearing": Right.INCIDENTS,
    "GET /incidents/{incident_id}/clips": Right.CLIPS,
    "GET /incidents/{incident_id}/clips/{node}/{boot}/{sequence}": Right.CLIPS,
    "POST /incidents/{incident_id}/acknowledge": Right.ACKNOWLEDGE,
    "POST /incidents/{incident_id}/decisions": Right.DECIDE,
    "GET /review/queue": Right.INCIDENTS,
    "GET /review/reasons": Right.INCIDENTS,
    "GET /scorecard": Right.FEATURES,
    "GET /scorecard.csv": Right.FEATURES,
    "GET /scorecard.html": Right.FEATURES,
    "GET /scorecard/misses": Right.INCIDENTS,
    "POST /scorecard/misses": Right.REPORT_MISS,
    "GET /events": Right.INCIDENTS,
    "GET /nodes": Right.NODES,
    "GET /coverage": Right.NODES,
    "GET /metrics": Right.HEALTH,
    "GET /audit": Right.AUDIT,
}
"""The right that each route asks for; None is anybody. The page's own files are anybody's too."""

_PAGE_FILES = "/console/"
_SAFE_METHODS = ("GET", "HEAD")
_VIEW_SPAN_NS = 600 * NS_PER_S
_MOST_REMEMBERED = 10_000
_REQUESTS = RateLimit(50.0, 500)
_REFUSALS = RateLimit(1.0, 100)
_LOGINS_OF_ACCOUNT = RateLimit(1 / 30, 5)
_LOGINS_FROM_ADDRESS = RateLimit(1 / 5, 10)
_CREDENTIALS_KEPT_OUT = "sign in again, or make a new token"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """How people and machines get in.

    Parameters
    ----------
    accounts : bool
        False: everybody who reaches the server may do everything; it must be reached from this machine only.
    session_s : float
        A session ends so long after the login.
    rate : RateLimit
        Requests of one account; of one address, as long as it does not say who it is.
    plain_http : bool
        Take passwords over HTTP from other machines too.
    """

    accounts: bool = False
    session_s: float = 12 * 3600.0
    rate: RateLimit = _REQUESTS
    plain_http: bool = False


class Watch:
    """Notes in the audit log who looked at what: the same again within ten minutes counts as one view.

    Parameters
    ----------
    casebook : Casebook
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """

    def __init__(self, casebook: Casebook, now_ns: Callable[[], int]) -> None:
        self._casebook = casebook
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._noted: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._refusals = TokenBuckets(_REFUSALS)

    def view(self, actor: str, action: str, subject: str) -> None:
        """Note a view.

        Raises
        ------
        StorageError
            It cannot be noted; show nothing.
        """
        if self._is_new((actor, action, subject)):
            try:
                self._casebook.note(time_ns=self._now_ns(), actor=actor, action=action, subject=subject)
            except BaseException:
                with self._lock:
                    self._noted.pop((actor, action, subject), None)
                raise

    def refusal(self, actor: str, subject: str, detail: Mapping[str, object]) -> None:
        """Note that something was refused: the same once in ten minutes, and one a second of all in the long run."""
        if not self._is_new((actor, "refused", f"{subject} {sorted(detail.items())}")):
            return
        with self._lock:
            told = self._refusals.take("all", now_ns=self._now_ns())
        if told:
            self._casebook.note(time_ns=self._now_ns(), actor=actor, action="refused", subject=subject, detail=detail)

    def _is_new(self, key: tuple[str, str, str]) -> bool:
        now_ns = self._now_ns()
        with self._lock:
            before_ns = self._noted.get(key)
            if before_ns is not None and 0 <= now_ns - before_ns < _VIEW_SPAN_NS:
                return False
            self._noted[key] = now_ns
            self._noted.move_to_end(key)
            while len(self._noted) > _MOST_REMEMBERED:
                self._noted.popitem(last=False)
        return True


class Gate:
    """Tells who asks, and refuses what they may not.

    Parameters
    ----------
    rules : AccessRules
    casebook : Casebook
        Where refusals are noted.
    accounts : Accounts | None
        Needed with accounts.
    oidc : OidcVerifier | None
        None: only our own tokens are taken.
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """

    def __init__(
        self,
        rules: AccessRules,
        casebook: Casebook,
        *,
        accounts: Accounts | None = None,
        oidc: OidcVerifier | None = None,
        now_ns: Callable[[], int],
    ) -> None:
        if rules.accounts and accounts is None:
            raise ValueError("rules want accounts, and none were given")
        self.rules = rules
        self.watch = Watch(casebook, now_ns)
        self._accounts = accounts
        self._oidc = oidc
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._requests = TokenBuckets(rules.rate)
        self._of_account = TokenBuckets(_LOGINS_OF_ACCOUNT)
        self._from_address = TokenBuckets(_LOGINS_FROM_ADDRESS)

    @property
    def accounts(self) -> Accounts:
        """The accounts; only with them."""
        if self._accounts is None:
            raise ApiProblemError(
                HTTPStatus.CONFLICT,
                'this server has no accounts: whoever reaches it may do everything ([access] mode = "open")',
            )
        return self._accounts

    def admit(self, request: Request) -> None:
        """Let a request pass to its route, or raise what is wrong with it. ``request.state.principal`` says who asks.

        Raises
        ------
        ApiProblemError
            401: nobody; 403: may not, or the request may come from another page; 429: too much.
        """
        principal = self.identify(request)
        request.state.principal = principal
        route = request.scope["route"].path
        wanted = ROUTE_RIGHTS.get(f"{request.method} {route}", Right.OPERATE)
        if wanted is None or route.startswith(_PAGE_FILES):
            return
        if principal is None:
            raise ApiProblemError(
                HTTPStatus.UNAUTHORIZED,
                "nobody is signed in; send `Authorization: Bearer TOKEN`, or sign in at /access/login",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if not principal.may(wanted):
            roles = ", ".join(sorted(principal.roles))
            self.watch.refusal(principal.name, route, {"right": wanted.value})
            raise ApiProblemError(
                HTTPStatus.FORBIDDEN,
                f"'{principal.name}' ({roles}) may not do this; it takes the right '{wanted.value}' (docs/access.md)",
            )

    def identify(self, request: Request) -> Principal | None:
        """Return who asks; None when nobody says who they are."""
        if not self.rules.accounts:
            _refuse_other_names(request)
            _refuse_pages_from_elsewhere(request)
            return EVERYBODY_HERE
        address = address_of(request)
        secret, kind = _secret(request)
        if kind is CredentialKind.SESSION:
            _refuse_pages_from_elsewhere(request)
        if secret is None:
            self._count(f"address {address}")
            return None
        found = self._principal(secret, kind)
        if isinstance(found, BearerRefused):
            self._count(f"address {address}")
            if kind is CredentialKind.SESSION:
                return None  # an old cookie; the page asks to sign in
            self.watch.refusal("nobody", "bearer token", {"address": address, "reason": found.reason})
            raise ApiProblemError(
                HTTPStatus.UNAUTHORIZED,
                f"the bearer token lets nobody in: {found.reason}; {_CREDENTIALS_KEPT_OUT}",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        self._count(f"account {found.name}")
        return found

    def still(self, request: Request) -> bool:
        """Return whether who asked may still be answered: a stream outlives the session that opened it."""
        if not self.rules.accounts:
            return True
        secret, kind = _secret(request)
        found = None if secret is None else self._principal(secret, kind)
        return isinstance(found, Principal) and found.may(Right.INCIDENTS)

    def take_login(self, name: str, address: str) -> bool:
        """Return whether one more try to sign in is taken, of this account and from this address."""
        now_ns = self._now_ns()
        with self._lock:
            from_there = self._from_address.take(address, now_ns=now_ns)
            return self._of_account.take(digest_of(name), now_ns=now_ns) and from_there

    def _principal(self, secret: str, kind: CredentialKind) -> Principal | BearerRefused:
        now_ns = self._now_ns()
        if kind is CredentialKind.TOKEN and self._oidc is not None and looks_like_jwt(secret):
            return self._oidc.verify(secret, now_s=now_ns / NS_PER_S)
        principal = self.accounts.principal(secret, kind, now_ns=now_ns)
        return principal or BearerRefused("it is unknown, expired or revoked")

    def _count(self, who: str) -> None:
        with self._lock:
            taken = self._requests.take(who, now_ns=self._now_ns())
        if not taken:
            rate = self.rules.rate
            raise ApiProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {rate.burst} requests at once and {rate.rate_per_s:g} a second in the long run; ask less "
                "often, /events tells what is new",
                headers={"Retry-After": "1"},
            )


def address_of(request: Request) -> str:
    """Return where a request comes from: what a proxy on this machine says, else the other end of the connection."""
    return request.client.host if request.client else ""


def is_safe_for_passwords(request: Request) -> bool:
    """Return whether nobody on the way can read along: TLS, or no way at all."""
    return request.url.scheme == "https" or _is_this_machine(address_of(request))


def _refuse_pages_from_elsewhere(request: Request) -> None:
    """Refuse a change that a page of another site could have sent with this browser's cookie."""
    if request.method not in _SAFE_METHODS and request.headers.get(REQUEST_HEADER) != "1":
        raise ApiProblemError(
            HTTPStatus.FORBIDDEN,
            "a change without a bearer token must carry the header 'X-Shotline-Request: 1'; pages of other sites "
            "cannot send it",
        )


def _refuse_other_names(request: Request) -> None:
    """Refuse a name that somebody else lets point to this machine: his page would read what is kept here."""
    host = request.url.hostname or ""
    if not _is_this_machine(host):
        raise ApiProblemError(
            HTTPStatus.FORBIDDEN,
            f"'{host[:100]}' is no address of this machine; without accounts ask at one, as http://127.0.0.1:8080, "
            'or set [access] mode = "accounts" to serve others',
        )


def _secret(request: Request) -> tuple[str | None, CredentialKind]:
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme:
        return (secret.strip() if scheme.lower() == "bearer" else ""), CredentialKind.TOKEN
    return request.cookies.get(SESSION_COOKIE), CredentialKind.SESSION


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
