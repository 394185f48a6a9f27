"""One POST to one address: what an endpoint may be, and what its answers mean."""

from __future__ import annotations

import http.client
import ipaddress
import math
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

from fusion_server.dispatch.sink import DeliveryError
from shotline import __version__
from shotline.errors import InputError

__all__ = ["HttpEndpoint"]

_HOPELESS = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.GONE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


class HttpEndpoint:
    """Posts to one address. Redirects are not followed.

    Parameters
    ----------
    url : str
        ``https://...``; ``http://`` only to this machine unless ``plain_http`` says otherwise.
    what : str
        What is authenticated by other means than a password in the address; ends its refusal.
    timeout_s : float
        For connecting, and for each wait on the answer.
    plain_http : bool
        Accept an endpoint whose traffic others on the network can read.

    Raises
    ------
    InputError
        The URL is not one that alerts can go to.
    """

    def __init__(self, url: str, *, what: str, timeout_s: float, plain_http: bool) -> None:
        self._timeout_s = timeout_s
        self._tls, self._host, self._port, self._target = _endpoint(url, what=what, plain_http=plain_http)

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{self._host}:{self._port}"

    def post(self, body: bytes, headers: dict[str, str]) -> None:
        """POST a body; a 2xx answer is delivery.

        Raises
        ------
        DeliveryError
            Any other answer, or none.
        """
        status, reason, retry_after = self._answer(body, {"User-Agent": f"shotline/{__version__}"} | headers)
        if 200 <= status < 300:
            return
        detail = f"{self.where} answered {status} {reason}".rstrip()
        if 300 <= status < 400:
            detail += "; redirects are not followed, give the final address"
        raise DeliveryError(detail, retryable=status not in _HOPELESS, retry_after_s=_seconds(retry_after))

    def _answer(self, body: bytes, headers: dict[str, str]) -> tuple[int, str, str | None]:
        connection: http.client.HTTPConnection
        if self._tls:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("POST", self._target, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheader("Retry-After")
        except TimeoutError as error:
            raise DeliveryError(f"{self.where} did not answer within {self._timeout_s:g} s", retryable=True) from error
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(
                f"the certificate of {self.where} is not trusted: {error.verify_message}", retryable=True
            ) from error
        except (OSError, http.client.HTTPException) as error:
            words = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise DeliveryError(f"cannot reach {self.where}: {words}", retryable=True) from error
        finally:
            connection.close()


def _endpoint(url: str, *, what: str, plain_http: bool) -> tuple[bool, str, int, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InputError(f"the address is not a URL: {error}", field="url") from error
    if parts.scheme not in ("http", "https") or not host:
        raise InputError("the address is not a URL such as https://dispatch.example.org/shots", field="url")
    if parts.username or parts.password:
        raise InputError(f"the address has a password in it; {what}", field="url")
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise InputError("the address has blanks or letters beyond ASCII; percent-encode them", field="url")
    tls = parts.scheme == "https"
    if not tls and not plain_http and not _loopback(host):
        raise InputError(
            f"http to {host} can be read by everybody on the way; use https, or set plain_http on a network you trust",
            field="url",
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return tls, host, port or (443 if tls else 80), target


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _seconds(retry_after: str | None) -> float | None:
    try:
        seconds = float(retry_after) if retry_after else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
