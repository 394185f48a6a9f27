"""The reference of the server's configuration, into its page: ``python -m fusion_server.configdoc docs/server.md``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fusion_server.accessconfig import AccessSection, OidcRoleSection, OidcSection, ReviewSection
from fusion_server.config import (
    AuditSection,
    ClipsSection,
    ConsoleSection,
    FrameSection,
    FusionSection,
    HttpSection,
    IdentitySection,
    NetworkCheckSection,
    NodeSection,
    ReplayClockSection,
    ScorecardSection,
    ServerSection,
    SystemClockSection,
    WeatherSection,
)
from fusion_server.retentionconfig import RetentionDays, RetentionSection
from fusion_server.sinkconfig import (
    ConsoleSinkSection,
    CotSinkSection,
    FolderSinkSection,
    HttpSinkSection,
    JsonlSinkSection,
    MqttSinkSection,
    NotifySinkSection,
    SyslogSinkSection,
    WebhookSinkSection,
)

__all__ = ["reference_markdown", "with_reference"]

_BEGIN = "<!-- reference: begin, written by python -m fusion_server.configdoc docs/server.md -->\n\n"
_END = "<!-- reference: end -->"

_TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("[server]", ServerSection),
    ("[http]", HttpSection),
    ("[console]", ConsoleSection),
    ("[identity]", IdentitySection),
    ("[access]", AccessSection),
    ("[oidc]", OidcSection),
    ("[[oidc_roles]]", OidcRoleSection),
    ("[review]", ReviewSection),
    ("[frame]", FrameSection),
    ("[weather]", WeatherSection),
    ("[[nodes]]", NodeSection),
    ("[fusion]", FusionSection),
    ("[clips]", ClipsSection),
    ("[network_check]", NetworkCheckSection),
    ("[audit]", AuditSection),
    ("[retention]", RetentionSection),
    ("[scorecard]", ScorecardSection),
    ('[[sinks]] kind = "console"', ConsoleSinkSection),
    ('[[sinks]] kind = "jsonl"', JsonlSinkSection),
    ('[[sinks]] kind = "webhook"', WebhookSinkSection),
    ('[[sinks]] kind = "http"', HttpSinkSection),
    ('[[sinks]] kind = "folder"', FolderSinkSection),
    ('[[sinks]] kind = "cot"', CotSinkSection),
    ('[[sinks]] kind = "mqtt"', MqttSinkSection),
    ('[[sinks]] kind = "notify"', NotifySinkSection),
    ('[[sinks]] kind = "syslog"', SyslogSinkSection),
    ('[clock] kind = "system"', SystemClockSection),
    ('[clock] kind = "replay"', ReplayClockSection),
)


def reference_markdown() -> str:
    """Return the reference of every key as Markdown, from the models themselves."""
    parts = []
    for heading, model in _TABLES:
        rows = [
            f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {_range(field)} | {field.description} |"
            for name, field in model.model_fields.items()
        ]
        table = ["| key | type | default | range | what |", "|---|---|---|---|---|", *rows]
        parts.append("\n".join([f"### `{heading}`", "", (model.__doc__ or "").strip(), "", *table]))
    return "\n\n".join(parts) + "\n"


def _kind(annotation: object) -> str:
    if annotation == get_args(RetentionDays)[0]:
        return 'days, 1 to 36500, or `"keep"`'
    if get_origin(annotation) in (Union, UnionType):
        return next(_kind(part) for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return "text"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(f"`{choice.value}`" for choice in annotation)
    names: dict[object, str] = {str: "text", float: "number", int: "integer", bool: "true or false"}
    return names[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    return "absent" if value is None else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(field: FieldInfo) -> str:
    words = []
    for rule in field.metadata:
        if isinstance(rule, Gt):
            words.append(f"> {rule.gt}")
        elif isinstance(rule, Ge):
            words.append(f">= {rule.ge}")
        elif isinstance(rule, Le):
            words.append(f"<= {rule.le}")
        elif isinstance(rule, MinLen) and rule.min_length > 1:
            words.append(f">= {rule.min_length} characters")
        elif isinstance(rule, MaxLen):
            words.append(f"<= {rule.max_length} characters")
        elif pattern := getattr(rule, "pattern", None):
            words.append(f"`{str(pattern).replace('|', chr(92) + '|')}`")
    return ", ".join(words)


def with_reference(page: str) -> str:
    """Return a page with the reference between its two marks made new."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no marks {_BEGIN.strip()} and {_END.strip()}")
    return before + begin + reference_markdown() + "\n" + end + after


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")
