"""Who gets in, and the rules of review, in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusion_server.accessconfig import AccessMode, is_loopback
from fusion_server.config import load_server_config
from fusion_server.review import ReviewRules
from fusion_server.roles import Role
from shotline.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "server.toml"
    path.write_text(text)
    return path


def test_without_a_word_it_is_open_and_on_loopback(tmp_path: Path) -> None:
    config = load_server_config(write(tmp_path, ""))
    assert config.access.mode is AccessMode.OPEN
    assert config.http.host == "127.0.0.1"
    assert config.review.to_rules() == ReviewRules()
    assert not config.review.remind_sinks


def test_everything_said(tmp_path: Path) -> None:
    config = load_server_config(
        write(
            tmp_path,
            """
            [http]
            host = "0.0.0.0"
            [access]
            mode = "accounts"
            session_hours = 8.0
            [oidc]
            issuer = "https://id.example.org"
            audience = "shotline"
            jwks_file = "keys/jwks.json"
            [[oidc_roles]]
            claim = "night-desk"
            role = "dispatcher"
            [review]
            two_persons = true
            acknowledge_within_s = 20.0
            decide_within_s = 600.0
            remind_sinks = true
            """,
        )
    )
    assert config.access.mode is AccessMode.ACCOUNTS
    assert config.oidc is not None
    assert config.oidc.jwks_file == str(tmp_path / "keys/jwks.json")
    assert [(item.claim, item.role) for item in config.oidc_roles] == [("night-desk", Role.DISPATCHER)]
    assert config.review.to_rules() == ReviewRules(two_persons=True, acknowledge_within_s=20.0, decide_within_s=600.0)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[http]\nhost = "0.0.0.0"\n', "2: http.host", "'0.0.0.0' is reached from other machines"),
        ('[http]\nhost = "::"\n', "2: http.host", "'::' is reached from other machines"),
        ('[http]\nhost = "server.example.org"\n', "2: http.host", "is reached from other machines"),
        ("[review]\ntwo_persons = true\n", "2: review.two_persons", "only by accounts"),
        ('[oidc]\nissuer = "i"\naudience = "a"\njwks_file = "k"\n', "1: oidc", "asked for only with accounts"),
        ('[[oidc_roles]]\nclaim = "c"\nrole = "auditor"\n', "2: oidc_roles.0.claim", "no [oidc] whose roles these are"),
    ],
)
def test_what_contradicts_itself(tmp_path: Path, text: str, place: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_server_config(path)
    assert f"{path}:{place}: " in str(caught.value)
    assert words in str(caught.value)


def test_not_serving_http_is_fine_anywhere(tmp_path: Path) -> None:
    load_server_config(write(tmp_path, '[http]\nenabled = false\nhost = "0.0.0.0"\n'))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("::", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
