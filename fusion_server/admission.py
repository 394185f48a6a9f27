"""Who may speak, and how much: what the server decides about a message before it looks inside. Pure; time is given."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from shotline.enrolment import Enrolled, Refused
from shotline.units import NS_PER_S

__all__ = ["Keys", "RateLimit", "Refusals", "TokenBuckets"]

_MOST_BUCKETS = 10_000
_MOST_REMEMBERED = 1_000


class Keys(Protocol):
    """What is asked of the allow-list."""

    def refresh(self) -> None:
        """Take over what was changed since."""
        ...

    def standing(self, public: str, *, now_ns: int) -> Enrolled | Refused:
        """Return which node a key is, or why it is refused."""
        ...


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many messages are taken from one sender.

    Parameters
    ----------
    rate_per_s : float
        In the long run.
    burst : int
        At once, after a quiet time.
    """

    rate_per_s: float
    burst: int


class TokenBuckets:
    """A bucket of tokens for each sender: a message costs one, ``rate_per_s`` flow in, ``burst`` fit in.

    Parameters
    ----------
    limit : RateLimit
    """

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self._buckets: dict[str | bytes, tuple[float, int]] = {}

    def take(self, sender: str | bytes, *, now_ns: int) -> bool:
        """Take a token of a sender; return whether there was one."""
        tokens = self._tokens(sender, now_ns)
        if sender not in self._buckets and len(self._buckets) >= _MOST_BUCKETS:
            self._drop_full_ones(now_ns)
        has_one = tokens >= 1.0
        self._buckets[sender] = (tokens - has_one, now_ns)
        return has_one

    def _tokens(self, sender: str | bytes, now_ns: int) -> float:
        tokens, since_ns = self._buckets.get(sender, (float(self.limit.burst), now_ns))
        # A clock that was set back brings no tokens and takes none.
        return min(self.limit.burst, tokens + max(0, now_ns - since_ns) / NS_PER_S * self.limit.rate_per_s)

    def _drop_full_ones(self, now_ns: int) -> None:
        """Forget who has been quiet: a full bucket is like none."""
        full = [sender for sender in self._buckets if self._tokens(sender, now_ns) >= self.limit.burst]
        for sender in full:
            del self._buckets[sender]


@dataclass(slots=True)
class Refusals:
    """Connections that were refused for their key: how many and why, and who was the last."""

    counts: Counter[str] = field(default_factory=Counter)
    last: str = ""
    _new: list[Refused] = field(default_factory=list)
    _seen: set[Refused] = field(default_factory=set)

    def add(self, refused: Refused, address: str) -> None:
        """Count one."""
        self.counts[refused.reason] += 1
        self.last = f"{refused.detail} (from {address})"
        if refused not in self._seen and len(self._seen) < _MOST_REMEMBERED:
            self._seen.add(refused)
            self._new.append(refused)

    def take_new(self) -> list[Refused]:
        """Return those that were not seen before; each is told once."""
        new, self._new = self._new, []
        return new
