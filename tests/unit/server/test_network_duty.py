"""The network self-check of a running server: what it does without, and what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from server_samples import detection, heartbeat
from test_server_app import Wall, running
from watched_server import Fault, WatchedServer, quiet_town

from fusion_server.config import ServerConfig
from fusion_server.history import History
from fusion_server.netcheck import Standing
from shotline.config import parse_config
from shotline.messages import encode
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S


@pytest.fixture(scope="module")
def town_db(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    """Return a history in which roof-01 was found out, the sites as configured, and when that was."""
    path = tmp_path_factory.mktemp("town") / "history.db"
    made = quiet_town()
    with History.open(path) as history:
        server = WatchedServer(history, made.sites)
        server.hear(made.shots(40))
        changes = server.hear(made.shots(30, node=0, fault=Fault(clock_s=0.012)))
        assert changes[-1].state.standing is Standing.QUARANTINED
        last_ns = parse_utc(server.records[-1].last_time_utc)
    sites = "".join(
        f'[[nodes]]\nid = "{site.node}"\nx_m = {site.x_m!r}\ny_m = {site.y_m!r}\nz_m = {site.z_m!r}\n'
        for site in made.sites
    )
    return path, sites, last_ns + 100 * NS_PER_S


def config(folder: Path, town_db: tuple[Path, str, int], lines: str) -> ServerConfig:
    shutil.copy(town_db[0], folder / "history.db")
    text = f'[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "{folder / "history.db"}"\n[http]\nenabled = false\n'
    return parse_config(f"{text}[network_check]\n{lines}\n{town_db[1]}", ServerConfig, source="server.toml")


@pytest.mark.parametrize(
    ("lines", "disposition", "check"),
    [("", {"quarantined": 1}, "warn"), ("quarantine = false", {}, "warn"), ("enabled = false", {}, None)],
)
def test_a_node_in_quarantine_is_kept_and_not_used(
    tmp_path: Path, town_db: tuple[Path, str, int], lines: str, disposition: dict[str, int], check: str | None
) -> None:
    wall = Wall()
    wall.now_ns = town_db[2]
    with running(config(tmp_path, town_db, lines), wall) as run:
        before = run.app.history.disposition_counts().get("roof-01", {}).get("quarantined", 0)
        run._socket.send(encode(heartbeat("roof-01", boot=2)))
        run.send([detection(7, node="roof-01", boot=2, arrival_time_ns=wall.now_ns)])
        after = run.app.history.disposition_counts().get("roof-01", {}).get("quarantined", 0)
        assert after - before == disposition.get("quarantined", 0)
        checks = {item.name: item for item in run.app.health().checks}
        assert (checks["network"].status.value if "network" in checks else None) == check
        if check is not None:
            assert "roof-01" in checks["network"].message
            assert "roof-01" in checks["node_health"].message
        else:
            assert run.events("network_judged") == []
