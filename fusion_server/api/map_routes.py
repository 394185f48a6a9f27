"""What the map of the page asks for besides incidents and nodes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from fusion_server.api.answers import GEOJSON, answers, json_answer, only
from fusion_server.api.documents import NodeRecord
from fusion_server.api.gating import GRID_M
from fusion_server.api.map_documents import (
    EXAMPLE_HEARING,
    CoverageDocument,
    coverage_collection,
    coverage_document,
    hearing_document,
)
from fusion_server.associate import AssociateSettings
from fusion_server.coverage import model_coverage
from fusion_server.hearing import hearing
from fusion_server.registry import Registry
from fusion_server.roles import Right
from shotline.domain import ClockState
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord

__all__ = ["map_router"]

_MOST_KEPT = 8
_Format = Annotated[
    Literal["json", "geojson"] | None,
    Query(alias="format", description="geojson gives polygons; so does `Accept: application/geo+json`"),
]


def map_router(
    registry: Registry,
    association: AssociateSettings,
    *,
    revisions_of: Callable[[str], Sequence[IncidentRecord]],
    nodes_now: Callable[[Request], Sequence[NodeRecord]],
    viewed: Callable[[Request, str, str], None],
    geodetic: Callable[[], LocalFrame],
) -> APIRouter:
    """Return the routes.

    Parameters
    ----------
    registry : Registry
        Surveyed sites.
    association : AssociateSettings
        Those of fusion: what is audible.
    revisions_of : callable
        Returns the revisions of an incident, or raises that there are none.
    nodes_now : callable
        Returns what is known of nodes, as the one who asks may see it.
    viewed : callable
        Notes a view.
    geodetic : callable
        Returns the frame, or raises that there is none.
    """
    router = APIRouter()
    kept = _KeptCoverage(registry, association)

    @router.get(
        "/incidents/{incident_id}/hearing",
        summary="Who heard an incident, and who should have",
        responses=answers("HearingDocument", missing=True, example=EXAMPLE_HEARING),
    )
    def show_hearing(incident_id: str, request: Request) -> Response:
        """Return each round of the latest revision with every node: what became of it there, and what was expected.

        By fusion's own model of what is audible. In tenths for who may not know where nodes are.
        """
        record = revisions_of(incident_id)[-1]
        viewed(request, "view_incident", incident_id)
        rounds = hearing(record, list(registry), association)
        return json_answer(hearing_document(record, rounds, coarse=_is_coarse(request)))

    @router.get(
        "/coverage",
        summary="Where a shot would be heard",
        responses=answers("CoverageDocument", geojson=True),
        dependencies=[Depends(only("format"))],
    )
    def show_coverage(request: Request, wanted: _Format = None) -> Response:
        """Return how likely enough nodes hear a shot, place by place, with the nodes that are heard now.

        Modelled by fusion's own idea of what is audible; no wind, no houses, no noise. From rounded places of nodes
        for who may not know where they are.
        """
        as_geojson = wanted == "geojson" if wanted else GEOJSON in request.headers.get("accept", "")
        frame = geodetic() if as_geojson else None
        document = kept.coverage(nodes_now(request), coarse=_is_coarse(request))
        if frame is not None:
            return json_answer(coverage_collection(document, frame), media_type=GEOJSON)
        return json_answer(document)

    return router


def _is_coarse(request: Request) -> bool:
    return not request.state.principal.may(Right.SENSOR_POSITIONS)


class _KeptCoverage:
    """Computes a coverage once for each set of nodes.

    Parameters
    ----------
    registry : Registry
    association : AssociateSettings
    """

    def __init__(self, registry: Registry, association: AssociateSettings) -> None:
        self._sites = list(registry)
        self._association = association
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bool, frozenset[str]], CoverageDocument] = OrderedDict()

    def coverage(self, nodes: Sequence[NodeRecord], *, coarse: bool) -> CoverageDocument:
        """Return the coverage with those nodes that can be used now."""
        usable = {node.node for node in nodes if not node.silent and node.clock_state != ClockState.UNTIMED.value}
        heard = frozenset(site.node for site in self._sites if site.node in usable)
        key = (coarse, heard)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._make(heard, coarse=coarse)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _make(self, heard: frozenset[str], *, coarse: bool) -> CoverageDocument:
        sites = [site for site in self._sites if site.node in heard]
        rounded_to_m = GRID_M if coarse else 0.0
        return coverage_document(
            model_coverage(sites, self._association, around=self._sites, rounded_to_m=rounded_to_m),
            min_nodes=self._association.min_nodes,
            nodes=sorted(heard),
            silent=sorted(site.node for site in self._sites if site.node not in heard),
            coarse=coarse,
        )
