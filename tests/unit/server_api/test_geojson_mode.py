"""A map that is read without its page still says what it shows."""

from __future__ import annotations

import pytest
from alert_samples import FRAME, incident
from api_client import ask, sample_app

from fusion_server.api import Mode
from fusion_server.history import History


@pytest.mark.parametrize("mode", list(Mode))
def test_collections_of_incidents_say_the_mode(history: History, mode: Mode) -> None:
    history.append_incident(incident(1, frame=FRAME))
    app = sample_app(history, mode=mode)
    for path in ("/incidents?format=geojson", f"/incidents/{incident(1).id}.geojson"):
        collection = ask(app, path).json()
        assert (collection["type"], collection["mode"]) == ("FeatureCollection", mode.value)
