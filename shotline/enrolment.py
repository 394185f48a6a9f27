"""Which public key is which node: the allow-list as a value. `shotline.allowlist` keeps it in a file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from shotline.errors import InputError

__all__ = ["AllowList", "Enrolled", "EnrolledKey", "Refused"]


@dataclass(frozen=True, slots=True)
class EnrolledKey:
    """One key of one node.

    Parameters
    ----------
    node : str
        Node id.
    public : str
        z85 text.
    enrolled_ns : int
        UTC nanoseconds.
    until_ns : int | None
        Replaced by a newer key, and not accepted from this instant on; None when it is the node's key.
    revoked_ns : int | None
        Not accepted since; None when it is.
    """

    node: str
    public: str
    enrolled_ns: int
    until_ns: int | None = None
    revoked_ns: int | None = None

    def state(self, now_ns: int) -> str:
        """Return one word: accepted, overlap (replaced, still accepted), replaced or revoked."""
        if self.revoked_ns is not None:
            return "revoked"
        if self.until_ns is None:
            return "accepted"
        return "overlap" if now_ns < self.until_ns else "replaced"

    def is_accepted(self, now_ns: int) -> bool:
        """Return whether messages under this key are taken."""
        return self.state(now_ns) in ("accepted", "overlap")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The key is accepted: what comes under it is from this node."""

    node: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The key is not accepted; ``reason`` is a value of `shotline.messages.RejectReason`."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class AllowList:
    """Every key that was ever enrolled. A change returns another list; asking for what is so already returns this one.

    Parameters
    ----------
    keys : tuple of EnrolledKey
        In the order in which they were enrolled; each public key once.
    """

    keys: tuple[EnrolledKey, ...] = ()
    _by_public: dict[str, EnrolledKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_public", {key.public: key for key in self.keys})

    def standing(self, public: str, *, now_ns: int) -> Enrolled | Refused:
        """Return which node a key is, or why it is refused."""
        key = self._by_public.get(public)
        if key is None:
            return Refused("unknown_key", f"key {public} is not enrolled; run `shotline keys enrol` on the server")
        if key.revoked_ns is not None:
            return Refused("revoked_key", f"key {public} of node '{key.node}' was revoked; make and enrol a new pair")
        if not key.is_accepted(now_ns):
            return Refused(
                "revoked_key", f"key {public} of node '{key.node}' was replaced; use the new pair, or enrol another"
            )
        return Enrolled(key.node)

    def accepted(self, node: str, *, now_ns: int) -> tuple[EnrolledKey, ...]:
        """Return the keys under which a node is accepted."""
        return tuple(key for key in self.keys if key.node == node and key.is_accepted(now_ns))

    def enrol(self, node: str, public: str, *, now_ns: int) -> AllowList:
        """Accept a key as a node's.

        Raises
        ------
        InputError
            The key is another node's or was given up, or the node has a key already.
        """
        known = self._by_public.get(public)
        if known is not None:
            self._must_be_live(known, node, now_ns)
            return self
        if self.accepted(node, now_ns=now_ns):
            raise InputError(f"node '{node}' has a key already; replace it with `shotline keys rotate`", field="node")
        return AllowList((*self.keys, EnrolledKey(node, public, now_ns)))

    def rotate(self, node: str, public: str, *, now_ns: int, overlap_ns: int) -> AllowList:
        """Accept a new key as a node's; those it has are accepted for ``overlap_ns`` more, then no longer.

        Raises
        ------
        InputError
            The key is another node's or was given up, or the node has no key to replace.
        """
        known = self._by_public.get(public)
        if known is not None:
            self._must_be_live(known, node, now_ns)
            return self
        if not self.accepted(node, now_ns=now_ns):
            raise InputError(f"node '{node}' has no accepted key to replace; run `shotline keys enrol`", field="node")
        end_ns = now_ns + overlap_ns
        kept = tuple(
            replace(key, until_ns=min(end_ns, key.until_ns or end_ns))
            if key.node == node and key.is_accepted(now_ns)
            else key
            for key in self.keys
        )
        return AllowList((*kept, EnrolledKey(node, public, now_ns)))

    def revoke(self, node: str, public: str | None = None, *, now_ns: int) -> AllowList:
        """Accept no key of a node any more, or only not this one.

        Raises
        ------
        InputError
            The node, or that key of it, was never enrolled.
        """
        if all(key.node != node for key in self.keys):
            raise InputError(f"node '{node}' was never enrolled; `shotline keys list` shows who is", field="node")
        if public is not None and all((key.node, key.public) != (node, public) for key in self.keys):
            raise InputError(
                f"key {public} was never enrolled for node '{node}'; see `shotline keys list`", field="key"
            )
        kept = tuple(
            replace(key, revoked_ns=now_ns)
            if key.node == node and public in (None, key.public) and key.revoked_ns is None
            else key
            for key in self.keys
        )
        return self if kept == self.keys else AllowList(kept)

    @staticmethod
    def _must_be_live(known: EnrolledKey, node: str, now_ns: int) -> None:
        if known.node != node:
            raise InputError(
                f"key {known.public} is that of node '{known.node}'; each node has a pair of its own", field="public"
            )
        if known.state(now_ns) != "accepted":
            raise InputError(
                f"key {known.public} of node '{node}' was given up ({known.state(now_ns)}) and does not come back; "
                "make a new pair with `shotline keys new`",
                field="public",
            )
