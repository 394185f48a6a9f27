from __future__ import annotations

import pytest
from alert_samples import EPOCH_NS, incident
from api_client import ask, sample_app
from fastapi import FastAPI

from fusion_server.clips import CollectedClip, RefusedClip
from fusion_server.history import History
from shotline.domain import DetectionId


@pytest.fixture
def app(history: History) -> FastAPI:
    for number in (1, 2):
        history.append_incident(incident(number))
    history.append_clips(
        [
            CollectedClip(
                uid=DetectionId("roof-1", 95, 812),
                incident_id=incident(1).id,
                received_ns=EPOCH_NS,
                start_time_ns=EPOCH_NS - 1,
                sample_rate_hz=48_000,
                sha256=bytes(range(32)),
                digest_ok=True,
                flac=b"fLaC and so on",
            ),
            RefusedClip(
                uid=DetectionId("roof-2", 96, 3),
                incident_id=incident(1).id,
                received_ns=EPOCH_NS,
                reason="clip_quota",
                detail="30 clips given",
            ),
        ]
    )
    return sample_app(history)


def test_the_clips_of_an_incident_and_those_that_did_not_come(app: FastAPI) -> None:
    path = f"/incidents/{incident(1).id}/clips"
    told = ask(app, path).json()
    assert len(told.pop("picks")) == 8
    assert told == {
        "times_cut": False,
        "clips": [
            {
                "detection": "roof-1/5f/812",
                "node": "roof-1",
                "start_utc": "2018-12-19T00:49:28.542999999Z",
                "sample_rate_hz": 48_000,
                "received_utc": "2018-12-19T00:49:28.543000Z",
                "bytes": 14,
                "sha256": bytes(range(32)).hex(),
                "digest_ok": True,
                "href": f"{path}/roof-1/5f/812",
            }
        ],
        "refused": [
            {
                "detection": "roof-2/60/3",
                "node": "roof-2",
                "time_utc": "2018-12-19T00:49:28.543000Z",
                "reason": "clip_quota",
                "detail": "30 clips given",
            }
        ],
    }
    other = ask(app, f"/incidents/{incident(2).id}/clips").json()
    assert (other["clips"], other["refused"], len(other["picks"])) == ([], [], 7)
    assert ask(app, "/incidents/none/clips").status_code == 404


def test_a_clip_comes_whole_whatever_range_is_asked_for(app: FastAPI) -> None:
    path = f"/incidents/{incident(1).id}/clips/roof-1/5f/812"
    for headers in ({}, {"Range": "bytes=0-3"}):
        answer = ask(app, path, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"fLaC and so on")
        assert answer.headers["content-type"] == "audio/flac"
        assert answer.headers["accept-ranges"] == "none"
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("number", "detection", "status", "words"),
    [
        (2, "roof-1/5f/812", 404, "no clip of 'roof-1/5f/812' is kept for this incident"),
        (1, "roof-1/5f/813", 404, "no clip of 'roof-1/5f/813' is kept for this incident"),
        (1, "roof-1/xyz/812", 400, "'roof-1/xyz/812' is not a detection; write it like roof-03/5f/812"),
        (1, "roof-1/5f/9999999999999999999", 400, "is not a detection"),
        (1, "roof-1/5f/-1", 400, "is not a detection"),
    ],
)
def test_what_is_not_there_is_said(app: FastAPI, number: int, detection: str, status: int, words: str) -> None:
    answer = ask(app, f"/incidents/{incident(number).id}/clips/{detection}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]
