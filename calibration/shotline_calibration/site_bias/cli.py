"""``shotline calibrate site-bias``. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
    keep_result,
    say_kept,
)

if TYPE_CHECKING:
    from fusion_server.locate import LocateSettings
    from shotline_calibration.site_bias.sources import Found

__all__ = ["app"]

_PROCEDURE = "site bias 1"
_LEAST_PLACES = 10

app = typer.Typer(
    no_args_is_help=True,
    help="How much later than the straight line sound comes to each node (calibration/procedures/site-bias.md).",
)

_Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Of the server, whose database has the shots.")
]


@app.command()
def learn(
    *,
    config: _Config = None,
    places: Annotated[
        Path | None,
        typer.Option(
            "--places",
            metavar="FILE.csv",
            help="With --config: where shots came from. Columns place, sigma_m; x_m and y_m, or lat_deg and lon_deg; "
            "incident (confirmed by a person), or time_utc.",
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option("--dataset", metavar="FOLDER", help="Instead: a recording whose true places are known."),
    ] = None,
    scene: Annotated[str | None, typer.Option("--scene", help="Of the dataset, when it has several.")] = None,
    within_s: Annotated[
        float, typer.Option(min=0.1, max=600.0, help="How well a time_utc is known: seconds to either side.")
    ] = 10.0,
    within_m: Annotated[
        float, typer.Option(min=5.0, max=2000.0, help="How far a located shot may be from its place.")
    ] = 100.0,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Learn delays from shots at known places, and judge them by leaving each place out.

    Where places left out do not gain, nothing is kept, and the exit code is 1.
    """
    from fusion_server.locate import Ground, Height, ground_of_sites
    from fusion_server.sitebias import SiteBiasTable, air_errors, control_rows
    from fusion_server.sitebias.judge import judge
    from fusion_server.sitebias.learn import LearnSettings, learn_delays
    from shotline_calibration.plots import save
    from shotline_calibration.site_bias.picture import draw_site_bias
    from shotline_calibration.site_bias.result import SiteBiasResult

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    found, settings, inputs = _found(config, places, dataset, scene, within_s=within_s, within_m=within_m)
    ground = None
    if settings.height in (Height.GROUND, Height.FREE):
        ground = ground_of_sites(found.sites, mast_m=settings.mast_m)
    elif settings.height is Height.KNOWN:
        ground = Ground.level(settings.height_m)
    for remark in found.remarks:
        typer.echo(f"not taken    {remark}", err=True)
    if len({shot.place for shot in found.shots}) < _LEAST_PLACES:
        raise InputError(
            f"shots from {len({shot.place for shot in found.shots})} known places, expected {_LEAST_PLACES} or more: "
            "with fewer nothing can be left out",
            source=places or dataset or "",
        )
    rows, names = control_rows(found.shots, found.sites, settings=settings, ground=ground)
    nodes = tuple(site.node for site in found.sites)
    learning = LearnSettings(air_errors([shot.weather for shot in found.shots], settings))
    typer.echo(f"learning     from {len(rows)} arrivals of {len(found.shots)} shots at {len(names)} places", err=True)
    delays = learn_delays(rows, nodes, learning)
    judgement = judge(
        found.shots,
        rows,
        names=names,
        nodes=nodes,
        learn=learning,
        start=delays.scales,
        settings=settings,
        ground=ground,
        progress=lambda done, of: typer.echo(f"leaving out  {done} of {of}", err=True),
    )
    table = SiteBiasTable.of(delays, places=names, place_sigma_m=rows.place_sigma_m.tolist())
    result = SiteBiasResult.of(table, judgement, shots=len(found.shots))
    if plot is not None:
        save(draw_site_bias(result), plot)
    kept = None
    if not judgement.refusal:
        kept = keep_result(result, options, kind="site-bias", node="", procedure=_PROCEDURE, inputs=inputs)
    if as_json:
        import msgspec

        said = {"result": msgspec.to_builtins(result), "refused": judgement.refusal or None, "record": kept}
        typer.echo(json.dumps(said))
    else:
        for sentence in result.sentences():
            typer.echo(sentence)
        if judgement.refusal:
            typer.echo(f"refused      {judgement.refusal}; nothing was kept, locate without")
        else:
            say_kept(kept, node="")
        if kept is not None:
            typer.echo(
                f"then         [fusion] site_bias_file = {json.dumps(str(kept['file']))} in the server's configuration"
            )
    raise typer.Exit(1 if judgement.refusal else 0)


@app.command()
def ask(
    record: Annotated[str, typer.Argument(metavar="RECORD", help="Made by `learn`: its id, or the file.")],
    *,
    records: Records = DEFAULT_RECORDS,
    at: Annotated[tuple[float, float], typer.Option("--at", metavar="EAST NORTH", help="A place, m, local frame.")],
    as_json: AsJson = False,
) -> None:
    """Say how late each node hears a place, by a record."""
    import math

    from fusion_server.biasfile import read_site_bias
    from shotline_calibration.recordbook import RecordBook

    path = Path(record)
    if not path.is_file():
        path = Path(RecordBook.read(records).find(record).source)
    delays = read_site_bias(path).to_delays()
    x_m, y_m = at
    said = []
    for number, node in enumerate(delays.nodes):
        mean_s, variance_s2 = delays.at(number, x_m, y_m)
        site_x_m, site_y_m = delays.site_m[number].tolist()
        distance_m = math.hypot(x_m - site_x_m, y_m - site_y_m)
        said.append((distance_m, node, float(mean_s), math.sqrt(float(variance_s2))))
    if as_json:
        nodes = [
            {"node": node, "distance_m": distance_m, "delay_s": delay_s, "sigma_s": sigma_s}
            for distance_m, node, delay_s, sigma_s in said
        ]
        typer.echo(json.dumps({"x_m": x_m, "y_m": y_m, "scatter_s": delays.scales.scatter_s, "nodes": nodes}))
        return
    for distance_m, node, delay_s, sigma_s in sorted(said):
        typer.echo(f"{node:<16} {distance_m:6.0f} m  {1e3 * delay_s:+6.1f} ms ± {1e3 * sigma_s:.1f}")
    typer.echo(f"besides      {1e3 * delays.scales.scatter_s:.1f} ms of scatter from one place to the next")


def _found(
    config: Path | None,
    places: Path | None,
    dataset: Path | None,
    scene: str | None,
    *,
    within_s: float,
    within_m: float,
) -> tuple[Found, LocateSettings, list[Path]]:
    from fusion_server.config import load_server_config
    from fusion_server.history import History
    from fusion_server.locate import Height, LocateSettings
    from shotline_calibration.site_bias.places import parse_places
    from shotline_calibration.site_bias.sources import from_dataset, from_history
    from shotline_recordings.dataset import open_dataset

    if dataset is not None:
        if config is not None or places is not None:
            raise InputError("expected --dataset, or --config with --places: one of them", field="--dataset")
        # The files of a dataset are many and large: its own manifest says what they are.
        found = from_dataset(open_dataset(dataset, only=None if scene is None else [scene]), scene)
        manifest = dataset if dataset.is_file() else dataset / "dataset.toml"
        return found, LocateSettings(height=Height.GROUND), [manifest] if manifest.is_file() else []
    if config is None or places is None:
        raise InputError("expected --config with --places, or --dataset", field="--config")
    loaded = load_server_config(config)
    database = loaded.server.database
    if "://" not in database and not Path(database).is_file():
        raise InputError(f"no such file {database}; the server makes it when it starts", source=config)
    try:
        text = places.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=places) from error
    rows = parse_places(text, frame=loaded.to_frame(), source=places)
    with History.open(database) as history:
        found = from_history(
            history,
            rows,
            loaded.to_registry(),
            within_s=within_s,
            within_m=within_m,
            two_persons=loaded.review.two_persons,
        )
    return found, loaded.to_fusion().locate, [config, places]
