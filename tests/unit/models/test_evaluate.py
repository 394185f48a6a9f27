"""An evaluation of a corpus made by hand, and its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.errors import InputError
from shotline_models.dataset import Clip, Corpus, Example
from shotline_models.evaluate import PER_NODE_DAY, PER_NODE_HOUR, Evaluation, LabelCount, evaluate
from shotline_models.metrics import share_of
from shotline_models.report import write_report

HOUR_S = 3600.0
KINDS = tuple(ImpulseKind)


def clip(name: str, kind: str = "gunshot", **changes: object) -> Clip:
    base = Clip(
        file=f"{name}.flac",
        kind=ImpulseKind(kind),
        label=kind,
        sub_label="",
        source="here",
        licence="CC0",
        family=name,
        sample_rate_hz=8000,
        duration_s=10.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def example(of: Clip, at_s: float = 1.0, *, snr_db: float = 25.0, distance_m: float | None = None) -> Example:
    samples = np.linspace(-0.01, 0.02, 800, dtype=np.float32)
    return Example(of, at_s, snr_db, 0.1, 0.001, False, samples, 200, distance_m)


def table(*gunshot: float, other: int = 1) -> NDArray[np.float64]:
    """Probabilities: so much gunshot, the rest of another kind."""
    rows = np.zeros((len(gunshot), len(KINDS)))
    rows[:, 0] = gunshot
    rows[:, other] = 1.0 - np.array(gunshot)
    return rows


NEAR, FAR = clip("near", source="range", sample_rate_hz=48_000), clip("far", source="range")
FOREST = clip("forest", source="forest")
BANGER, DOOR = clip("banger", "firework", duration_s=HOUR_S), clip("door", "impact", duration_s=0.5 * HOUR_S)
BIRDS = clip("birds", "background", duration_s=1.5 * HOUR_S, sample_rate_hz=16_000)
EXAMPLES = (
    example(NEAR, distance_m=100.0, snr_db=45.0),  # 0.95
    example(FAR, distance_m=650.0, snr_db=15.0),  # 0.30
    example(FAR, 2.0, distance_m=650.0, snr_db=25.0),  # 0.85
    example(FOREST),  # 0.60
    example(BANGER),  # 0.90
    example(BANGER, 2.0),  # 0.80
    example(DOOR),  # 0.70
    example(DOOR, 2.0),  # 0.10
)
SCORES = (0.95, 0.30, 0.85, 0.60, 0.90, 0.80, 0.70, 0.10)
CORPUS = Corpus((NEAR, FAR, FOREST, BANGER, DOOR, BIRDS), EXAMPLES, ((FAR, 650.0), (NEAR, 250.0)))


def measured(corpus: Corpus = CORPUS, scores: tuple[float, ...] = SCORES, **changes: object) -> Evaluation:
    return evaluate(corpus, table(*scores), model_id="made-1", **changes)  # type: ignore[arg-type]


def test_counts_and_hours() -> None:
    found = measured()
    assert (found.clips, found.negative_clips, found.gunshot_onsets, found.negative_onsets) == (6, 3, 4, 4)
    assert (found.missed_shots, found.negative_hours) == (2, 3.0)
    assert found.kinds == KINDS
    assert found.labels == (
        LabelCount("forest", "gunshot", ImpulseKind.GUNSHOT, 1, 1, 0, 10.0 / HOUR_S),
        LabelCount("here", "background", ImpulseKind.BACKGROUND, 1, 0, 0, 1.5),
        LabelCount("here", "firework", ImpulseKind.FIREWORK, 1, 2, 0, 1.0),
        LabelCount("here", "impact", ImpulseKind.IMPACT, 1, 2, 0, 0.5),
        LabelCount("range", "gunshot", ImpulseKind.GUNSHOT, 2, 3, 2, 20.0 / HOUR_S),
    )


def test_recall_at_one_an_hour() -> None:
    """Three hours allow three alarms: all negatives but the lowest."""
    point = measured().operating_points[0]
    assert (point.alarm.asked_per_hour, point.alarm.resolved) == (PER_NODE_HOUR, True)
    assert (point.alarm.threshold, point.alarm.alarms, point.alarm.shown_per_hour) == (0.10, 3, 1.0)
    assert point.recall == share_of(4, 6)
    assert [(item.name, item.share) for item in point.recall_by_source] == [
        ("forest", share_of(1, 1)),
        ("range", share_of(3, 5)),
    ]
    assert [(item.name, item.share) for item in point.recall_by_sample_rate] == [
        ("8000 Hz", share_of(3, 4)),
        ("48000 Hz", share_of(1, 2)),
    ]
    assert [item.share for item in point.recall_by_distance] == [
        share_of(1, 1),
        share_of(0, 1),
        share_of(0, 0),
        share_of(2, 3),
    ]
    assert [item.share for item in point.recall_by_snr] == [
        share_of(1, 1),
        share_of(2, 2),
        share_of(0, 0),
        share_of(1, 1),
    ]


def test_recall_at_one_a_day_is_unresolved() -> None:
    point = measured().operating_points[1]
    assert (point.alarm.asked_per_hour, point.alarm.resolved) == (PER_NODE_DAY, False)
    assert (point.alarm.threshold, point.alarm.alarms) == (0.90, 0)
    assert point.alarm.upper95_per_hour == pytest.approx(2.9957 / 3.0, rel=1e-4)  # ln 20, to five digits
    assert point.recall == share_of(1, 6)
    assert [(item.source, item.label, item.called_gunshot) for item in point.called_by_label] == [
        ("forest", "gunshot", share_of(0, 1)),
        ("here", "firework", share_of(0, 2)),
        ("here", "impact", share_of(0, 2)),
        ("range", "gunshot", share_of(1, 3)),
    ]


def test_negatives_called_gunshot() -> None:
    point = measured(per_hour=(2 / 3,)).operating_points[0]
    assert point.alarm.threshold == 0.70
    assert [(item.name, item.share) for item in point.called_by_kind] == [
        ("gunshot", share_of(2, 4)),
        ("firework", share_of(2, 2)),
        ("impact", share_of(0, 2)),
    ]
    assert [(item.name, item.share) for item in point.false_by_sample_rate] == [("8000 Hz", share_of(2, 4))]


def test_one_label_of_two_kinds_is_two_rows() -> None:
    """A drop of a gun has its source's label and is an impact."""
    drop = clip("drop", "impact", label="other_impulse", duration_s=HOUR_S)
    rattle = clip("rattle", "other_impulse", duration_s=HOUR_S)
    found = measured(Corpus((drop, rattle), (example(drop), example(rattle))), (0.2, 0.1))
    assert [(item.label, item.kind.value) for item in found.labels] == [
        ("other_impulse", "impact"),
        ("other_impulse", "other_impulse"),
    ]
    assert len(found.operating_points[0].called_by_label) == 2


def test_gun_handling_has_rows_of_its_own() -> None:
    """Only the sub-label tells it; what follows its colon is the gun."""
    rattle = clip("rattle", "other_impulse", duration_s=HOUR_S)
    slide = replace(rattle, file="slide.flac", sub_label="gun handling: P229_SlideReleaseRack")
    bolt = replace(rattle, file="bolt.flac", sub_label="gun handling: Tikka Model T3, rifle")
    corpus = Corpus((rattle, slide, bolt), (example(rattle), example(slide), example(bolt)))
    found = measured(corpus, (0.2, 0.9, 0.1), per_hour=(1 / 3,))
    assert [(item.label, item.clips, item.hours) for item in found.labels] == [
        ("other_impulse", 1, 1.0),
        ("other_impulse: gun handling", 2, 2.0),
    ]
    assert [(item.label, item.called_gunshot) for item in found.operating_points[0].called_by_label] == [
        ("other_impulse", share_of(0, 1)),
        ("other_impulse: gun handling", share_of(1, 2)),
    ]


def test_gunshot_probabilities_are_judged_at_even_odds() -> None:
    """A gunshot weighs as four negatives: of two of each, stated at 0.8, 8 in 10 by weight came true."""
    scores = (0.8,) * 4 + (0.1,) * 6
    corpus = Corpus((NEAR, DOOR), (*(example(NEAR),) * 2, *(example(DOOR),) * 8))
    found = measured(corpus, scores)
    (low, high) = (item for item in found.gunshot_calibration.bins if item.weight)
    assert (low.observed.share, low.observed.of) == (0.0, 6)
    assert (low.weight, high.weight) == pytest.approx((0.375, 0.625), abs=1e-12)
    assert (high.observed.count, high.observed.of) == (2, 4)
    assert high.observed.share == pytest.approx(0.8, abs=1e-12)
    assert found.gunshot_calibration.error == pytest.approx(0.375 * 0.1, abs=1e-12)
    assert found.gunshot_calibration_error_in_corpus_mix == pytest.approx(0.6 * 0.1 + 0.4 * 0.3, abs=1e-12)
    assert found.top_calibration.error == pytest.approx(0.4 * 0.3 + 0.6 * 0.9, abs=1e-12)


def test_confusion_curves_and_calibration() -> None:
    found = measured()
    assert found.confusion[0] == (3, 1, 0, 0, 0, 0)
    assert found.confusion[1] == (2, 0, 0, 0, 0, 0)
    assert found.confusion[3] == (1, 1, 0, 0, 0, 0)
    assert found.confusion[5] == (0,) * 6
    # Of 16 pairs the shots win 4 + 1 + 3 + 1.
    assert found.roc_area == pytest.approx(9 / 16, abs=1e-12)
    assert found.roc.x[-1] == found.roc.y[-1] == 1.0
    assert found.det.y[0] == 1.0
    assert found.precision_recall.y[0] == 1.0
    assert found.average_precision == pytest.approx((1 + 2 / 3 + 3 / 6 + 4 / 7) / 4, abs=1e-12)
    # 15 bins: 0.80 and 0.85 share the thirteenth, every other score is alone in its own.
    alone = (1 - 0.95) + (1 - 0.60) + (1 - 0.30) + 0.90 + 0.70 + 0.10
    assert found.gunshot_calibration.error == pytest.approx((alone + 2 * abs(0.5 - 0.825)) / 8, abs=1e-9)
    assert sum(item.observed.of for item in found.top_calibration.bins) == 8


def test_worst_errors_first() -> None:
    found = measured(worst=2)
    assert [(item.file, item.at_s, item.score) for item in found.worst_negatives] == [
        ("banger.flac", 1.0, 0.90),
        ("banger.flac", 2.0, 0.80),
    ]
    assert [(item.file, item.example, item.score) for item in found.worst_gunshots] == [
        ("far.flac", 1, 0.30),
        ("forest.flac", 3, 0.60),
    ]
    assert found.worst_gunshots[0].called is ImpulseKind.FIREWORK
    assert (found.worst_gunshots[0].distance_m, found.worst_gunshots[1].distance_m) == (650.0, None)


def test_it_becomes_json_and_comes_back() -> None:
    found = measured()
    text = json.dumps(msgspec.to_builtins(found), allow_nan=False)
    assert msgspec.json.decode(text, type=Evaluation) == found


def test_float32_and_its_rounding_are_welcome() -> None:
    rows = table(*SCORES).astype(np.float32)
    rows[0, 0] = np.float32(1.0000001)
    found = evaluate(CORPUS, rows, model_id="m")
    assert max(item.high for item in found.gunshot_calibration.bins) == 1.0


def test_without_negatives_no_threshold_can_be_set() -> None:
    shots = CORPUS.only(lambda item: item.kind is ImpulseKind.GUNSHOT)
    found = measured(shots, SCORES[:4])
    assert found.operating_points == ()
    assert (found.negative_hours, found.roc_area, found.roc.x) == (0.0, None, ())
    assert found.average_precision == 1.0


def test_without_gunshots_or_without_anything() -> None:
    quiet = CORPUS.only(lambda item: item.kind is not ImpulseKind.GUNSHOT)
    found = measured(quiet, SCORES[4:])
    assert found.operating_points[0].recall.share is None
    assert found.average_precision is None
    assert found.worst_gunshots == ()
    assert (found.gunshot_calibration.error, found.gunshot_calibration.bins) == (None, ())
    assert found.gunshot_calibration_error_in_corpus_mix is not None
    nothing = evaluate(Corpus((BIRDS,), ()), np.zeros((0, len(KINDS))), model_id="m")
    assert nothing.gunshot_calibration.error is None
    assert nothing.operating_points[0].alarm.threshold == 0.0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table(*SCORES[:3]), r"probabilities: shape \(3, 6\), expected \(8, 6\): one row an example"),
        (table(*SCORES)[:, :4], r"probabilities: shape \(8, 4\), expected \(8, 6\)"),
        (
            table(*SCORES[:7], np.nan),
            "2 of 48 are no probabilities, the first is nan for gunshot in door.flac at 2.000 s",
        ),
        (table(*SCORES[:7], -3.0), r"2 of 48 are no probabilities, the first is -3\.0 for gunshot in door.flac"),
    ],
)
def test_probabilities_that_are_none(rows: NDArray[np.float64], words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate(CORPUS, rows, model_id="m")


def test_examples_of_a_clip_that_is_not_counted() -> None:
    for corpus in (replace(CORPUS, clips=CORPUS.clips[:-2]), replace(CORPUS, missed=((clip("lost"), 5.0),))):
        with pytest.raises(InputError, match=r"(door|lost).flac, which is not among the \d clips; its hours"):
            measured(corpus)


# The page


class Reader(HTMLParser):
    """Check that tags close in order, and gather what a page shows and asks for."""

    VOID = frozenset({"meta", "br", "hr", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []
        self.links: list[str] = []
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "audio":
            self.sources.append(values["src"] or "")
        if tag in ("svg", "audio") and not (values.get("aria-label") or values.get("aria-hidden")):
            self.unnamed.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def read(page: Path) -> tuple[Reader, str]:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    assert reader.unnamed == []
    return reader, " ".join(" ".join(reader.words).split())


def test_the_page_says_what_matters(tmp_path: Path) -> None:
    page = write_report(measured(), tmp_path / "new" / "folder", corpus=CORPUS, title="Made by hand")
    assert page == tmp_path / "new" / "folder" / "index.html"
    _, words = read(page)
    assert "not grounds for a stop, search or arrest" in words
    assert "The negatives here last 3.00 hours" in words
    assert "Unresolved: the hours are too few" in words
    for heading in (
        "Recall by distance",
        "Recall by SNR",
        "(ROC): area 0.5625",
        "(PR)",
        "(DET)",
        "Confusion",
        "Calibration",
    ):
        assert heading in words
    assert "1 per hour" in words
    assert "1 per day (unresolved)" in words
    assert "66.7 % (2 of 3)" in words
    text = page.read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"https?:|//|url\(|@import|\bnan\b|\binf\b", text)


def test_the_page_says_at_which_odds(tmp_path: Path) -> None:
    scores = (0.8,) * 4 + (0.1,) * 6
    corpus = Corpus((NEAR, DOOR), (*(example(NEAR),) * 2, *(example(DOOR),) * 8))
    _, words = read(write_report(measured(corpus, scores), tmp_path, corpus=corpus, title="t"))
    assert "Gunshot probability, at even odds: expected calibration error 0.0375" in words
    assert "In this corpus's mix, 2 gunshots of 10 onsets, its error is 0.1800." in words
    assert "in this corpus's mix: expected calibration error 0.6600" in words
    # By weight, and as counted.
    assert "0.80 to 0.87 0.800 80.0 % 2 of 4" in words


def test_every_cell_has_its_headings(tmp_path: Path) -> None:
    text = write_report(measured(), tmp_path, corpus=CORPUS, title="t").read_text(encoding="utf-8")
    assert set(re.findall(r"<th\b[^>]*?(scope=\"\w+\")?>", text)) == {'scope="col"', 'scope="row"'}
    tables = re.findall(r"<table>.*?</table>", text, flags=re.DOTALL)
    assert len(tables) == 13
    for item in tables:
        rows = [re.findall(r"<t([hd])", row) for row in re.findall(r"<tr>.*?</tr>", item, flags=re.DOTALL)]
        assert {len(row) for row in rows} == {len(rows[0])}
        assert {*rows[0]} == {"h"}
        assert all([row.count("h"), row[0]] == [1, "h"] for row in rows[1:])
    assert [int(level) for level in re.findall(r"<h(\d)>", text)] == [1, 2, 2, 3, 3, 3, 2, 2, 3, 2, 2, 2, 2]


def test_a_small_share_does_not_read_as_none(tmp_path: Path) -> None:
    busy = clip("busy", "impact", duration_s=HOUR_S)
    corpus = Corpus((NEAR, busy), (example(NEAR), *(example(busy, float(n)) for n in range(5000))))
    found = measured(corpus, (0.99, 0.9, *(0.1,) * 4999), per_hour=(1.0,))
    _, words = read(write_report(found, tmp_path, corpus=corpus, title="t", sound=False))
    assert "impact 0.02 % (1 of 5000) 0.004 to 0.1 %" in words


def test_sound_of_the_worst_errors(tmp_path: Path) -> None:
    reader, _ = read(write_report(measured(), tmp_path, corpus=CORPUS, title="t"))
    assert reader.sources == [f"sound/negative-0{n}.wav" for n in range(1, 5)] + [
        f"sound/gunshot-0{n}.wav" for n in range(1, 5)
    ]
    assert reader.links == reader.sources
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == sorted(
        ["index.html", *(Path(item).name for item in reader.sources)]
    )
    samples, rate_hz = soundfile.read(tmp_path / "sound" / "gunshot-04.wav")
    assert rate_hz == NEAR.sample_rate_hz
    assert soundfile.info(tmp_path / "sound" / "gunshot-04.wav").subtype == "PCM_16"
    assert samples == pytest.approx(EXAMPLES[0].samples * (0.7 / 0.02), abs=2**-15)  # one step of 16 bits


def test_no_sound_where_none_is_wanted(tmp_path: Path) -> None:
    reader, _ = read(write_report(measured(), tmp_path, corpus=CORPUS, title="t", sound=False))
    assert reader.sources == []
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_sound_that_is_silent_or_empty(tmp_path: Path) -> None:
    silent = replace(EXAMPLES[0], samples=np.zeros(80, np.float32))
    empty = replace(EXAMPLES[4], samples=np.zeros(0, np.float32))
    corpus = Corpus(CORPUS.clips, (silent, empty))
    reader, words = read(write_report(measured(corpus, (0.5, 0.5)), tmp_path, corpus=corpus, title="t"))
    assert reader.sources == ["sound/gunshot-01.wav"]
    assert "no samples" in words


@pytest.mark.parametrize("part", ["shots", "negatives", "nothing", "one"])
def test_a_page_of_what_little_there_is(tmp_path: Path, part: str) -> None:
    corpus, scores = {
        "shots": (CORPUS.only(lambda item: item.kind is ImpulseKind.GUNSHOT), SCORES[:4]),
        "negatives": (CORPUS.only(lambda item: item.kind is not ImpulseKind.GUNSHOT), SCORES[4:]),
        "nothing": (Corpus((BIRDS,), ()), ()),
        "one": (Corpus((NEAR, BIRDS), EXAMPLES[:1]), SCORES[:1]),
    }[part]
    _, words = read(write_report(measured(corpus, scores), tmp_path, corpus=corpus, title=part))
    assert ("There are no hours of sound without a gunshot" in words) is (part == "shots")
    assert "Not defined: it needs both gunshots and negatives." in words


def test_text_of_a_manifest_is_escaped(tmp_path: Path) -> None:
    trap = "\"><script>alert('x')</script>&"
    bad = clip("bad", "firework", label=trap, sub_label=trap, source=trap, file=f"{trap}.wav", duration_s=HOUR_S)
    corpus = Corpus((bad,), (example(bad),))
    found = replace(measured(corpus, (0.9,)), model_id=trap)
    page = write_report(found, tmp_path, corpus=corpus, title=trap)
    assert "<script" not in page.read_text(encoding="utf-8")
    assert trap in read(page)[1]


def test_the_page_is_bounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    quiet = clip("quiet", "background", duration_s=2.0 * HOUR_S)
    corpus = Corpus(
        (NEAR, quiet), tuple(example(NEAR if n % 2 else quiet, float(n), distance_m=float(n)) for n in range(4000))
    )
    found = measured(corpus, tuple(rng.random(4000).tolist()), worst=50)
    assert len(found.worst_negatives) == 50
    page = write_report(found, tmp_path, corpus=corpus, title="many")
    assert len(list((tmp_path / "sound").iterdir())) == 24
    assert page.stat().st_size < 200_000


def test_the_corpus_must_be_the_one_evaluated(tmp_path: Path) -> None:
    other = replace(CORPUS, examples=CORPUS.examples[::-1])
    with pytest.raises(
        InputError, match=r"example 4 of the corpus is .*, the evaluation has banger.flac at 1.000 s there"
    ):
        write_report(measured(), tmp_path / "x", corpus=other, title="t")
    with pytest.raises(InputError, match="of the corpus is nothing"):
        write_report(measured(), tmp_path / "x", corpus=Corpus((), ()), title="t")
    assert not (tmp_path / "x").exists()
