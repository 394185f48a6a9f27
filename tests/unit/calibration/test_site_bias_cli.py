"""``shotline calibrate site-bias``: from known places to a signed table that a server locates with."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from site_bias_samples import START_NS, WEATHER, made_up
from typer.testing import CliRunner

from fusion_server.app import ServerApp
from fusion_server.biasfile import read_site_bias, site_bias_of
from fusion_server.casebook import Casebook
from fusion_server.config import load_server_config
from fusion_server.engine import FusionEngine
from fusion_server.evidence.case import NETWORK_ACTION
from fusion_server.evidence.network import read_network_parts
from fusion_server.evidence.signing import SigningKey
from fusion_server.history import History, StoredDetection
from fusion_server.registry import Registry
from fusion_server.selfcheck import check_configuration
from shotline.atmosphere import WeatherTimeline
from shotline.domain import Incident, Site
from shotline.errors import InputError
from shotline.messages import encode
from shotline.records import incident_record
from shotline.timebase import format_utc
from shotline_calibration.cli import app
from shotline_calibration.recordbook import RecordBook
from shotline_calibration.site_bias.places import parse_places
from shotline_calibration.site_bias.result import SiteBiasResult
from shotline_recordings.dataset import Dataset, Scene, save_dataset

RUN = CliRunner()


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    SigningKey.new(tmp_path / "k")
    return ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]


def run(*words: object, code: int = 0) -> str:
    done = RUN.invoke(app, ["site-bias", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the record that is learned from a network surveyed 3 m off, a plot beside the folder of records."""
    folder = tmp_path_factory.mktemp("learned")
    SigningKey.new(folder / "k")
    dataset = save_dataset(made_up(moved_m=3.0), folder / "data")
    words = ["--by", "Ann", "--sign-with", folder / "k", "--records", folder / "records"]
    said = json.loads(run("learn", "--dataset", dataset.parent, "--json", "--plot", folder / "plot.svg", *words))
    assert said["refused"] is None
    return Path(said["record"]["file"])


def config_text(dataset: Dataset, bias: str = "") -> str:
    scene = dataset.scenes[0]
    nodes = "".join(
        f'[[nodes]]\nid = "{site.node}"\nx_m = {site.x_m!r}\ny_m = {site.y_m!r}\nz_m = {site.z_m}\nsigma_m = 0.5\n'
        for site in scene.sites
    )
    weather = "[weather]\ntemperature_c = 12.0\ntemperature_sigma_c = 0.5\nwind_sigma_mps = 0.3\n"
    return f'[server]\ndatabase = "history.sqlite"\n[fusion]\nmast_m = 8.0\n{bias}\n{weather}{nodes}'


def test_from_a_recording_to_a_record_a_plot_and_a_table(record: Path) -> None:
    (signed,) = RecordBook.read(record.parents[1]).records
    result = signed.record.result
    assert isinstance(result, SiteBiasResult)
    assert signed.record.kind == "site-bias"
    assert signed.record.node == ""
    assert result.shots == 24
    assert len(result.held_out) == 12
    # 3 m of survey error at ten nodes move a fix by about 1.5 m; places left out are known to 0.3 m.
    assert result.with_m < 0.6 * result.without_m
    assert result.scatter_with_s < 0.5 * result.scatter_without_s
    assert result.held95_with > 0.9
    assert read_site_bias(record) == result.table
    text = (record.parents[2] / "plot.svg").read_text(encoding="utf-8")
    assert "held-out" in text
    assert "n0, at" in text
    assert "learned      24 shots from 12 places, heard by 10 of 10 nodes" in result.sentences()


def test_ask_says_how_late_a_place_is_heard(record: Path) -> None:
    said = json.loads(run("ask", record, "--at", 50, -20, "--json"))
    delays = read_site_bias(record).to_delays()
    for node in said["nodes"]:
        mean_s, variance_s2 = delays.at(delays.number_of(node["node"]), 50.0, -20.0)
        assert node["delay_s"] == float(mean_s)
        assert node["sigma_s"] == pytest.approx(float(variance_s2) ** 0.5, rel=1e-12)
    lines = run("ask", record, "--at", 50, -20).splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("besides")
    (signed,) = RecordBook.read(record.parents[1]).records
    assert run("ask", signed.id[:8], "--records", record.parents[1], "--at", 50, -20).splitlines() == lines
    with pytest.raises(InputError, match="'nothing' is the beginning of 0 of 1 records"):
        run("ask", "nothing", "--records", record.parents[1], "--at", 50, -20)


def test_where_places_left_out_do_not_gain_nothing_is_kept(tmp_path: Path, kept: list[str]) -> None:
    # The survey is exact, and each place has delays of its own: nothing to learn.
    dataset = save_dataset(made_up(moved_m=0.0, scatter_s=0.004), tmp_path / "data")
    text = run("learn", "--dataset", dataset.parent, *kept, code=1)
    assert "refused      arrivals of the 12 places left out are not surely likelier" in text
    assert not (tmp_path / "records").exists()


def test_too_few_places_are_refused(tmp_path: Path) -> None:
    dataset = save_dataset(made_up(moved_m=3.0, places=9), tmp_path / "data")
    with pytest.raises(InputError, match="shots from 9 known places, expected 10 or more"):
        run("learn", "--dataset", dataset.parent)


@pytest.mark.parametrize(
    "words",
    [(), ("--config", "server.toml"), ("--places", "x.csv"), ("--dataset", "there", "--config", "server.toml")],
)
def test_one_source_is_asked_for(words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="expected --"):
        run("learn", *words)


def test_a_scene_of_several_is_named(tmp_path: Path) -> None:
    one = made_up(moved_m=3.0).scenes[0]
    two = Scene("there", None, one.sites, one.weather, detections=one.detections)
    dataset = save_dataset(Dataset("two", "CC0-1.0", "made up", (one, two)), tmp_path / "data")
    with pytest.raises(InputError, match="the dataset has here, there: give one"):
        run("learn", "--dataset", dataset.parent)
    with pytest.raises(InputError, match="scene 'there' has 0 pulse sets"):
        run("learn", "--dataset", dataset.parent, "--scene", "there")


def test_a_changed_record_is_never_used(record: Path, tmp_path: Path) -> None:
    text = record.read_text(encoding="utf-8")
    spoiled = tmp_path / "spoiled.toml"
    spoiled.write_text(text.replace('by = "Ann"', 'by = "Bob"', 1), encoding="utf-8")
    with pytest.raises(InputError, match="not what was signed"):
        read_site_bias(spoiled)
    spoiled.write_text(text.replace('kind = "site-bias"', 'kind = "position"', 1), encoding="utf-8")
    with pytest.raises(InputError, match="record of kind 'position', expected 'site-bias'"):
        read_site_bias(spoiled)
    spoiled.write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match="cannot read the file"):
        read_site_bias(spoiled)
    spoiled.write_text('kind = "site-bias"', encoding="utf-8")
    with pytest.raises(InputError, match="no record of a site bias"):
        read_site_bias(spoiled)


def test_a_server_takes_it_and_says_when_a_node_has_moved(record: Path, tmp_path: Path) -> None:
    dataset = made_up(moved_m=3.0)
    path = tmp_path / "server.toml"
    path.write_text(config_text(dataset, f'site_bias_file = "{record}"'), encoding="utf-8")
    config = load_server_config(path)
    assert site_bias_of(config.fusion.site_bias_file, config.to_registry()) == read_site_bias(record)
    assert site_bias_of(None, config.to_registry()) is None
    checks = {check.name: check for check in check_configuration(config, now_ns=START_NS).checks}
    assert checks["site_bias"].status.value == "ok"
    first = dataset.scenes[0].sites[0]
    moved = Site(first.node, first.x_m + 2.0, first.y_m, first.z_m)
    with pytest.raises(InputError, match=r"node 'n0' stands 2\.00 m from where its delays were learned"):
        site_bias_of(config.fusion.site_bias_file, Registry([moved, Site("new", 0.0, 0.0)]))


def test_check_says_whether_the_configuration_names_the_record_that_stands(record: Path, tmp_path: Path) -> None:
    dataset, config = made_up(moved_m=3.0), tmp_path / "server.toml"

    def checked(bias: str, records: Path, code: int) -> str:
        config.write_text(config_text(dataset, bias), encoding="utf-8")
        done = RUN.invoke(app, ["check", "-c", str(config), "--records", str(records)], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    (signed,) = RecordBook.read(record.parents[1]).records
    named = f'site_bias_file = "{record}"'
    assert "1 values are as recorded, 0 are not" in checked(named, record.parents[1], 0)
    assert f"site_bias_file is not there, recorded is {signed.id}" in checked("", record.parents[1], 1)
    (tmp_path / "none").mkdir()
    assert "no such record is among these" in checked(named, tmp_path / "none", 1)


def test_a_server_that_starts_with_it_keeps_it_in_the_audit_log(record: Path, tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    text = config_text(made_up(moved_m=3.0), f'site_bias_file = "{record}"')
    text = text.replace("[server]", '[http]\nenabled = false\n[server]\nbind = "tcp://127.0.0.1:0"')
    path.write_text(text, encoding="utf-8")
    config = load_server_config(path)
    with ServerApp(config, alerts_to=io.StringIO(), log_to=io.StringIO(), now_ns=lambda: START_NS):
        pass
    with History.open(tmp_path / "history.sqlite") as history:
        entries = [entry for entry in Casebook(history.database).audit() if entry.action == NETWORK_ACTION]
    network = read_network_parts(entry.detail for entry in entries)
    assert network is not None
    assert network.site_bias == read_site_bias(record)


def database(folder: Path, dataset: Dataset) -> list[Incident]:
    """Fill a server's database as the server does; return the incidents, first to last."""
    scene = dataset.scenes[0]
    engine = FusionEngine(registry=Registry(scene.sites), weather=WeatherTimeline.constant(WEATHER))
    told: list[Incident] = []
    with History.open(folder / "history.sqlite") as history:
        for detection in scene.detections:
            told += engine.advance_to(detection.arrival_time_ns)
            engine.add(detection)
            history.store([StoredDetection(detection, encode(detection), detection.arrival_time_ns)])
        told += engine.finish()
        for incident in told:
            history.append_incident(incident_record(incident, None))
    return list({incident.incident_id: incident for incident in told}.values())


def test_from_a_server_by_time_and_by_confirmed_incidents(tmp_path: Path, kept: list[str]) -> None:
    dataset = made_up(moved_m=3.0)
    incidents = database(tmp_path, dataset)
    assert len(incidents) == 12
    (tmp_path / "server.toml").write_text(config_text(dataset), encoding="utf-8")
    truth = dataset.scenes[0].truth[::2]
    lines = ["place,x_m,y_m,sigma_m,incident,time_utc"]
    with History.open(tmp_path / "history.sqlite") as history:
        for number, (event, incident) in enumerate(zip(truth, incidents, strict=True)):
            name = incident.incident_id if number % 2 else ""
            when = "" if number % 2 else format_utc(event.shot_times_ns[0] + 3_000_000_000)
            lines.append(f"p{number},{event.x_m},{event.y_m},0.3,{name},{when}")
            if number % 2 and number != 11:
                Casebook(history.database).decide(
                    incident.incident_id,
                    revision=incident.revision,
                    outcome="confirmed",
                    reason="casings",
                    note="",
                    person="ann",
                    time_ns=START_NS,
                )
    lines += ["nowhere,0,0,0.3,,2020-01-01T00:00:00Z", "gone,0,0,0.3,feed,"]
    places = tmp_path / "places.csv"
    places.write_text("\n".join(lines), encoding="utf-8")
    words = ["site-bias", "learn", "--config", tmp_path / "server.toml", "--places", places, "--json", *kept]
    done = RUN.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["result"]["shots"] == 22
    assert len(said["result"]["table"]["places"]) == 11
    assert f"incident '{incidents[11].incident_id}' is not confirmed by a person" in done.stderr
    assert "line 14: no shot was located within 10 s and 100 m of 'nowhere'" in done.stderr
    assert "line 15: no incident 'feed'" in done.stderr
    (signed,) = RecordBook.read(tmp_path / "records").records
    assert [file.name for file in signed.record.inputs] == ["server.toml", "places.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("place,x_m,y_m,sigma_m,incident\n", "has no rows"),
        ("place,x_m,y_m,incident\na,1,2,b\n", "no column 'sigma_m'"),
        ("place,east,sigma_m\n", "column 'east', expected place"),
        ("place,x_m,y_m,sigma_m,incident\na,1,2,0,b\n", "csv:2: sigma_m: 0, expected above 0 to 50"),
        ("place,x_m,y_m,sigma_m,incident\na,1,,1,b\n", "expected x_m and y_m, or lat_deg and lon_deg"),
        ("place,x_m,y_m,sigma_m,incident\na,one,2,1,b\n", "'one' is no number"),
        ("place,x_m,y_m,sigma_m,incident\na,inf,2,1,b\n", "inf is not finite"),
        ("place,x_m,y_m,sigma_m,incident\na,1,2,1,\n", "expected an incident, or a time_utc"),
        ("place,x_m,y_m,sigma_m,incident\n,1,2,1,b\n", "give the place a name"),
        ("place,x_m,y_m,sigma_m,incident\na,1,2,1,b\na,4,2,1,c\n", "csv:3: place: 'a' is 3.00 m from"),
        ("place,x_m,y_m,sigma_m,time_utc\na,1,2,1,noon\n", "csv:2: time_utc"),
        ("place,lat_deg,lon_deg,sigma_m,incident\na,1,2,1,b\n", r"no \[frame\]"),
        ("place,x_m,y_m,sigma_m,incident\na,1,2,1,b,c\n", "has not the 5 columns of line 1"),
    ],
)
def test_a_table_of_places_that_is_none_says_where(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_places(text, frame=None, source="places.csv")
    assert "places.csv" in str(caught.value)
    caught.match(said)
