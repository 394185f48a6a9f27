"""The small city is replayed once."""

from __future__ import annotations

import pytest
from evidence_samples import packed, replayed_city

from fusion_server.evidence.bundle import Bundle
from fusion_server.evidence.case import Case
from fusion_server.evidence.container import unpack
from fusion_server.evidence.replayed import ReplayFolder


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> ReplayFolder:
    return replayed_city(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="session")
def case(city: ReplayFolder) -> Case:
    """The burst of three: the incident with the most shots."""
    cases = [city.case(*key) for key in city.incidents]
    return max(cases, key=lambda item: len(item.revisions[-1].shots))


@pytest.fixture(scope="session")
def data(case: Case) -> bytes:
    return packed(case)


@pytest.fixture
def bundle(data: bytes) -> Bundle:
    return Bundle(unpack(data))
