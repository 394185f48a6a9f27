"""The parts of a swarm that need no server: what it hears, its files, its limits, what it refuses."""

from __future__ import annotations

import math
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zmq

from fusion_server.config import load_server_config
from sensor_node.swarm import Swarm, require_own_server, run_swarm
from sensor_node.swarmfiles import (
    load_or_make_pair,
    member_name,
    read_server_key,
    write_server_config,
    write_swarm_allow_list,
)
from sensor_node.swarmplan import Heard, SwarmLoad, SwarmPlan, grid_m, make_detection
from shotline.allowlist import load_allow_list
from shotline.atmosphere import Weather
from shotline.domain import ImpulseKind
from shotline.enrolment import Enrolled
from shotline.errors import InputError, StorageError, TransportError
from shotline.keyfiles import KeyPair
from shotline.messages import decode, encode

NOW_NS = 1_545_180_566_000_000_000


def pair() -> KeyPair:
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


def test_nodes_stand_in_a_square_grid() -> None:
    assert grid_m(5, 100.0).tolist() == [[0, 0], [100, 0], [200, 0], [0, 100], [100, 100]]
    assert grid_m(1, 100.0).tolist() == [[0, 0]]
    assert len(np.unique(grid_m(2_000, 250.0), axis=0)) == 2_000


def test_every_arrival_of_a_shot_is_its_travel_time_later_and_nobody_near_is_left_out() -> None:
    sites_m = grid_m(25, 250.0)
    plan = SwarmPlan(sites_m, SwarmLoad(0.0, shots_per_minute=6.0), seconds=100.0, seed=3)
    shots, heard = list(plan.shots()), list(plan.heard())
    expected = sorted(
        (shot.time_s + math.dist((shot.x_m, shot.y_m), site) / Weather().speed_of_sound_mps, member)
        for shot in shots
        for member, site in enumerate(sites_m.tolist())
        if math.dist((shot.x_m, shot.y_m), site) < 700.0
    )
    assert len(shots) > 3
    assert [item.member for item in heard] == [member for _, member in expected]
    assert [item.time_s for item in heard] == pytest.approx([time_s for time_s, _ in expected], abs=1e-9)
    assert {item.kind for item in heard} == {ImpulseKind.GUNSHOT}
    # Spherical spreading: the level says how far it was.
    distances_m = [10 ** ((150.0 - item.level_db_spl) / 20) for item in heard]
    assert max(distances_m) < 700.0
    for shot in shots:
        assert 0.0 <= shot.x_m <= 1_000.0
        assert 0.0 <= shot.y_m <= 1_000.0
        assert 0.0 < shot.time_s < 100.0


def test_bangs_come_at_their_rate_to_every_node_and_in_order() -> None:
    plan = SwarmPlan(grid_m(10, 250.0), SwarmLoad(360.0), seconds=1_000.0, seed=1)
    heard = list(plan.heard())
    # 1,000 expected of a Poisson process: four standard deviations are 126.
    assert abs(len(heard) - 1_000) < 127
    assert [item.time_s for item in heard] == sorted(item.time_s for item in heard)
    assert set(Counter(item.member for item in heard)) == set(range(10))
    assert {item.kind for item in heard} == {ImpulseKind.OTHER_IMPULSE}


def test_everything_follows_from_the_seed() -> None:
    def plan(seed: int) -> SwarmPlan:
        return SwarmPlan(grid_m(9, 250.0), SwarmLoad(1_000.0, 30.0), seconds=60.0, seed=seed)

    once = plan(1)
    assert list(once.heard()) == list(plan(1).heard()) == list(once.heard())
    assert list(once.heard()) != list(plan(2).heard())
    times_s = [item.time_s for item in once.heard()]
    assert times_s == sorted(times_s)
    assert {item.kind for item in once.heard()} == {ImpulseKind.GUNSHOT, ImpulseKind.OTHER_IMPULSE}


def test_a_burst_is_so_many_shots_at_one_instant_at_the_same_rate() -> None:
    def shots(burst: int) -> list[float]:
        load = SwarmLoad(0.0, shots_per_minute=60.0, burst=burst)
        return [shot.time_s for shot in SwarmPlan(grid_m(9, 250.0), load, seconds=600.0, seed=1).shots()]

    together = Counter(shots(5))
    assert set(together.values()) == {5}
    # 600 expected; of bursts four standard deviations are 219.
    assert abs(len(shots(5)) - 600) < 220
    assert set(Counter(shots(1)).values()) == {1}


def test_without_a_rate_nothing_is_heard() -> None:
    assert list(SwarmPlan(grid_m(9, 250.0), SwarmLoad(0.0), seconds=60.0, seed=1).heard()) == []


def test_a_detection_is_a_message_that_the_wire_takes() -> None:
    heard = Heard(1.5, 3, ImpulseKind.GUNSHOT, 100.0)
    made = make_detection(heard, node="swarm-00003", boot=7, sequence=9, start_ns=NOW_NS)
    assert decode(encode(made)) == made
    assert made.arrival_time_ns == NOW_NS + 1_500_000_000
    assert made.uid == ("swarm-00003", 7, 9)
    assert made.probability(ImpulseKind.GUNSHOT) == 0.95
    assert sum(made.probabilities_bp) == 10_000


def test_keys_are_made_once_and_a_server_can_be_started_with_the_files(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    pairs = [(name, load_or_make_pair(name, keys)) for name in map(member_name, range(3))]
    assert [(name, load_or_make_pair(name, keys)) for name, _ in pairs] == pairs
    server = load_or_make_pair("server", keys)
    assert (keys / "swarm-00000.key_secret").stat().st_mode & 0o777 == 0o600
    allow_list = keys / "nodes.keys.toml"
    for _ in range(2):
        write_swarm_allow_list(allow_list, pairs, now_ns=NOW_NS)
    listed = load_allow_list(allow_list)
    assert [listed.standing(pair.public, now_ns=NOW_NS) for _, pair in pairs] == [Enrolled(name) for name, _ in pairs]
    (tmp_path / "etc").mkdir()
    config = tmp_path / "etc" / "server.toml"
    write_server_config(
        config,
        bind="tcp://127.0.0.1:5570",
        secret_file=keys / "server.key_secret",
        allow_list=allow_list,
        sites_m=grid_m(3, 250.0),
    )
    loaded = load_server_config(config)
    assert Path(loaded.server.curve_secret_file or "").resolve() == keys / "server.key_secret"
    assert Path(loaded.server.allow_list or "").resolve() == allow_list
    assert [(site.node, site.x_m, site.y_m) for site in loaded.to_registry()] == [
        ("swarm-00000", 0.0, 0.0),
        ("swarm-00001", 250.0, 0.0),
        ("swarm-00002", 0.0, 250.0),
    ]
    assert read_server_key(None, keys) == read_server_key(str(keys / "server.key"), tmp_path) == server.public
    assert read_server_key(server.public, tmp_path) == server.public


def test_a_server_key_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a \.key file nor a public key"):
        read_server_key(None, tmp_path)
    with pytest.raises(InputError, match="nonsense"):
        read_server_key("nonsense", tmp_path)


def test_a_configuration_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_server_config(
            tmp_path / "missing" / "server.toml",
            bind="tcp://127.0.0.1:5570",
            secret_file=tmp_path / "a",
            allow_list=tmp_path / "b",
            sites_m=grid_m(1, 1.0),
        )


@pytest.mark.parametrize("endpoint", ["tcp://127.0.0.1:5570", "tcp://localhost:5570", "ipc://swarm"])
def test_a_server_on_this_machine_may_be_loaded(endpoint: str) -> None:
    require_own_server(endpoint, is_own=False)


def test_a_server_elsewhere_may_be_loaded_only_by_its_owner() -> None:
    with pytest.raises(InputError, match="--i-own-this-server"):
        require_own_server("tcp://server.example:5570", is_own=False)
    require_own_server("tcp://server.example:5570", is_own=True)


def test_too_few_open_files_are_an_error_that_says_how_many_nodes_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 4_096))
    wanted: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: wanted.append(limits))
    many = [(member_name(member), pair()) for member in range(961)]

    def make(nodes: int) -> Swarm:
        return Swarm("tcp://127.0.0.1:1", many[:nodes], pair().public, monotonic_s=lambda: 0.0, now_ns=lambda: NOW_NS)

    with pytest.raises(TransportError, match=r"4100 open files, .* may have 4096 .* at most 960 nodes"):
        make(961)
    make(960).close()
    make(10).close()
    assert wanted == [(4_096, 4_096)]


def test_a_server_that_is_not_there_is_a_problem_told_after_the_patience() -> None:
    now_s = [0.0]

    def monotonic_s() -> float:
        now_s[0] += 0.01
        return now_s[0]

    with Swarm(
        "tcp://127.0.0.1:1", [("a", pair())], pair().public, monotonic_s=monotonic_s, now_ns=lambda: NOW_NS
    ) as swarm:
        report = run_swarm(
            swarm,
            SwarmPlan(grid_m(1, 1.0), SwarmLoad(), seconds=1.0, seed=1),
            seconds=1.0,
            in_flight=0,
            patience_s=2.0,
            progress_s=1.0,
            monotonic_s=monotonic_s,
            now_ns=lambda: NOW_NS,
            stopping=lambda: False,
            tell=lambda _time_s, _status: None,
        )
    assert report.all_connected_s is None
    assert report.problem.startswith("1 of 1 nodes are not connected; ")
    assert report.status.connected == report.status.made == 0
    assert report.as_json()["owed"] == 0
