"""From a trained network to the two files that are released: ONNX, and its twin in JSON."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
import torch
from torch import nn

from shotline import __version__
from shotline.domain import ImpulseKind
from shotline.errors import InputError
from shotline_models.architecture import count_parameters
from shotline_models.dataset import Example
from shotline_models.plan import Plan, plan_digest
from shotline_models.runtime import open_network
from shotline_models.twin import Threshold, TrainingData, Twin, check_picture, twin_path

__all__ = ["AGREEMENT", "export", "training_data"]

AGREEMENT = 1e-5
"""Torch and ONNX Runtime may differ by this much in a logit."""
_OPSET = 18


def training_data(examples: Sequence[Example]) -> tuple[TrainingData, ...]:
    """Return what was learned from, by source and licence."""
    onsets = Counter((item.clip.source, item.clip.licence) for item in examples)
    clips = Counter(
        (source, licence) for source, licence, _ in {(e.clip.source, e.clip.licence, e.clip.file) for e in examples}
    )
    return tuple(TrainingData(*key, clips=clips[key], examples=onsets[key]) for key in sorted(onsets))


def export(
    network: nn.Module,
    plan: Plan,
    folder: Path,
    *,
    temperature: float,
    thresholds: Sequence[Threshold],
    data: tuple[TrainingData, ...],
) -> Path:
    """Write NAME.onnx and NAME.json, and prove that they say what the network says; return the path of the first.

    Raises
    ------
    InputError
        ONNX Runtime does not agree with torch.
    """
    network = network.cpu().eval()
    mel = plan.mel
    pictures = torch.from_numpy(np.stack([check_picture(mel), check_picture(mel)[::-1].copy()]))[:, None]
    program = _quietly_exported(network, pictures)
    weights = folder / f"{plan.name}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    content = program.SerializeToString(deterministic=True)
    weights.write_bytes(content)
    with torch.no_grad():
        wanted = network(pictures).numpy()
    free = "any use; see data" if plan.licences == "free" else "non-commercial use: some of the data allows no other"
    twin = Twin(
        model_id=plan.name,
        oldest_code_version=__version__,
        input=mel,
        kinds=tuple(ImpulseKind),
        temperature=temperature,
        thresholds=tuple(thresholds),
        parameters=count_parameters(network),
        sha256=hashlib.sha256(content).hexdigest(),
        data=data,
        licence=free,
        plan_sha256=plan_digest(plan),
        seed=plan.seed,
        check_logits=tuple(float(value) for value in wanted[0]),
    )
    twin_path(weights).write_bytes(msgspec.json.format(msgspec.json.encode(twin), indent=1) + b"\n")
    seen = open_network(weights).logits(pictures.numpy()[:, 0])
    difference = float(np.abs(seen - wanted).max())
    if not difference <= AGREEMENT:
        raise InputError(
            f"ONNX Runtime differs from torch by {difference:.2g} in a logit, expected at most {AGREEMENT:g}",
            source=str(weights),
        )
    return weights


def _quietly_exported(network: nn.Module, pictures: torch.Tensor) -> onnx.ModelProto:
    """Return the network as ONNX, batch norm folded, without what the exporter says on the way and where it ran."""
    # It warns of operators of a package that is not there, and not needed.
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (pictures,),
            dynamo=True,
            optimize=True,
            verbose=False,
            opset_version=_OPSET,
            input_names=["picture"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
        )
    registry.setLevel(level)
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for item in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del item.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    return model
