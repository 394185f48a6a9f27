"""One thread for each process: tests run side by side, and many start others. Databases of each kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pgcluster import Cluster, running_cluster

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[Cluster]:
    """Run a PostgreSQL of the tests' own; skips with a reason where none is installed."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def postgresql(postgresql_cluster: Cluster) -> Iterator[Cluster]:
    """Give the PostgreSQL; what a test makes in it is dropped after the test."""
    yield postgresql_cluster
    postgresql_cluster.drop_databases()


@pytest.fixture(params=["sqlite", "memory", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a new database, of each kind in turn."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        return cluster.new_database()
    return f"sqlite:///{tmp_path / 'history.db'}" if request.param == "sqlite" else "sqlite://"


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the URL of a new database that can be opened twice."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        return cluster.new_database()
    return f"sqlite:///{tmp_path / 'history.db'}"


@pytest.fixture(params=["memory", "postgresql"])
def quick_database_url(request: pytest.FixtureRequest) -> str:
    """Give the URL of a new database, on PostgreSQL or in memory: for tests of what lies over it."""
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        return cluster.new_database()
    return "sqlite://"
