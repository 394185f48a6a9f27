"""Pages for people: links that lead somewhere, sources that are listed, words that are current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house import ROOT, documents, modules

import shotline

KEY = re.compile(r"\[((?:[A-Z][A-Za-z]+(?:19|20)\d\d)|TN\d+|ISO\d+|RFC\d+|StandardWebhooks)\b[^\]\[(]*\](?!\()")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in documents()])
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "#")):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path
        assert file.exists(), f"{page}: {target}"
        if anchor:
            assert anchor in _anchors(file), f"{page}: {target}"


def test_every_cited_source_is_listed() -> None:
    listed = set(KEY.findall((ROOT / "docs" / "references.md").read_text(encoding="utf-8")))
    cited = {key for _, file in modules() for key in KEY.findall(file.read_text(encoding="utf-8"))}
    assert {"TN098", "ISO9613", "SmithAbel1987"} <= cited
    assert cited - listed == set(), "cited in code, not in docs/references.md"
    assert listed - cited == set(), "in docs/references.md, cited nowhere"


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{shotline.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pages_that_code_points_to_are_there() -> None:
    for name, file in modules():
        for page in set(re.findall(r"\bdocs/[\w-]+\.md", file.read_text(encoding="utf-8"))):
            assert (ROOT / page).is_file(), f"{name} points to {page}"


def test_settings_named_by_symptom_exist() -> None:
    """A setting that is renamed must be renamed on the page."""
    from fusion_server.associate import AssociateSettings
    from fusion_server.config import FusionSection
    from fusion_server.engine import FusionSettings
    from fusion_server.incidents import IncidentSettings
    from fusion_server.locate import LocateSettings
    from shotline.onsets import OnsetSettings

    owners = {
        owner.__name__: set(owner.__dataclass_fields__)
        for owner in (AssociateSettings, FusionSettings, IncidentSettings, LocateSettings, OnsetSettings)
    }
    everything = set(FusionSection.model_fields).union(*owners.values())
    page = (ROOT / "docs" / "parameters-by-symptom.md").read_text(encoding="utf-8")
    for owner, field in re.findall(r"`(\w+Settings)\.(\w+)`", page):
        assert field in owners[owner], f"{owner}.{field}"
    elsewhere = {"min_snr_db", "threshold_db", "high_pass_hz", "full_scale_db_spl", "silent_after_s", "noise_level_db"}
    other = {"report", "calibration_id", "alert_delay", "too_late", "in_future", "history", "height", "sigma_m"}
    words = set(re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", page))
    assert words <= everything | elsewhere | other, sorted(words - everything - elsewhere - other)


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
