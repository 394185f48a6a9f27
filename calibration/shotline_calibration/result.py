"""What a record holds as its result: values with their unit in the name, and what a configuration takes from them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Result"]

Value = str | int | float | bool


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of what procedures find.

    A field is a number with its unit in its name, a text, a truth value, or a tuple, dict or `msgspec.Struct` of such.
    Each figure has its sigma beside it. A field once in a record stays for good; later ones are optional, with a
    default, so that the bytes of old records stay what was signed.
    """

    def sentences(self) -> list[str]:
        """Return what it says, for people, a line each."""
        return [f"{name} = {getattr(self, name)}" for name in self.__struct_fields__]

    def changed_from(self, before: Result) -> str:  # noqa: ARG002 - for those below
        """Return how it differs from the record that it supersedes, in a few words; "" for nothing worth saying."""
        return ""

    def node_settings(self, node: str) -> Mapping[str, Mapping[str, Value]]:  # noqa: ARG002 - for those below
        """Return what the configuration of a node takes from it: values by section and key."""
        return {}

    def site_settings(self, node: str) -> Mapping[str, Value]:  # noqa: ARG002 - for those below
        """Return what the node's table ``[[nodes]]`` of the server's configuration takes from it, by key."""
        return {}
