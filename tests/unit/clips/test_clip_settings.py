from __future__ import annotations

import pytest

from fusion_server.clips import ClipSettings
from fusion_server.config import ServerConfig
from shotline.config import parse_config
from shotline.domain import DetectionId
from shotline.errors import ConfigError, InputError

REPLAY = '[clock]\nkind = "replay"\nevent_epoch_utc = "2018-12-19T00:49:26Z"\nwall_epoch_utc = "2026-03-01T12:00:00Z"\n'


def settings(text: str) -> ClipSettings | None:
    return parse_config(text, ServerConfig, source="server.toml").to_clips()


def test_a_live_server_asks_and_a_replay_only_when_told() -> None:
    assert settings("") == ClipSettings(most_per_node=4)
    assert settings("[clips]\nmost_per_node = 1\n") == ClipSettings(most_per_node=1)
    assert settings("[clips]\nask = false\n") is None
    assert settings(REPLAY) is None
    assert settings(REPLAY + "[clips]\nin_replay = true\n") == ClipSettings()


def test_more_than_a_node_gives_cannot_be_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"clips\.most_per_node"):
        settings("[clips]\nmost_per_node = 5\n")


@pytest.mark.parametrize("uid", [DetectionId("roof-1", 0, 0), DetectionId("a.b:c_d", 2**63 - 1, 2**63 - 1)])
def test_the_text_of_an_identity_is_read_back(uid: DetectionId) -> None:
    assert DetectionId.parse(str(uid)) == uid


@pytest.mark.parametrize("text", ["", "a/1", "a/1/2/3", "a/1g/2", "a/8000000000000000/0", "-a/1/2", "a/1/२"])
def test_what_is_no_identity_is_said(text: str) -> None:
    with pytest.raises(InputError, match="is not a detection; write it like roof-03/5f/812"):
        DetectionId.parse(text)
