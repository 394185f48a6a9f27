"""A plan of training: one TOML file that says everything that a network depends on, beside its data."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field

from shotline.config import ConfigModel, load_config
from shotline.errors import ConfigError
from shotline.features import MelDefinition
from shotline_models.augment import AugmentSettings

__all__ = ["FREE_LICENCES", "Plan", "is_free", "load_plan", "plan_digest", "shipped_plan"]

FREE_LICENCES = ("CC0", "CC BY 4.0", "MIT", "WTFPL")
"""How licences begin that allow any use of what was learned, naming the source at the most."""
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class _Input(ConfigModel):
    before_s: float = Field(default=0.1, gt=0.0, le=1.0)
    after_s: float = Field(default=0.5, gt=0.0, le=2.0)
    window_s: float = Field(default=0.032, gt=0.0, le=0.2)
    hop_s: float = Field(default=0.008, gt=0.0, le=0.1)
    bands: int = Field(default=40, ge=8, le=128)
    low_hz: float = Field(default=60.0, gt=0.0)
    high_hz: float = Field(default=3_600.0, gt=0.0)
    range_db: float = Field(default=60.0, gt=0.0, le=120.0)


class _Network(ConfigModel):
    members: int = Field(default=2, ge=1, le=16, description="networks that vote")
    width: int = Field(default=16, ge=2, le=64)
    dropout: _Share = 0.3


class _Optimiser(ConfigModel):
    epochs: int = Field(default=20, ge=1, le=1_000, description="at the most")
    frames_per_epoch: int = Field(default=6_400, ge=64)
    batch: int = Field(default=128, ge=8)
    peak_rate: float = Field(default=4e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(default=1e-2, ge=0.0)
    patience: int = Field(default=12, ge=1, description="epochs without a lower loss on the stopping set; then it ends")
    average_from: _Share = Field(default=0.6, description="share of the run after which weights are averaged")
    precision: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="of the products in training; the network itself is of 32 bits"
    )
    hard_power: float = Field(default=0.5, ge=0.0, description="frames are drawn by this power of their own last loss")


class _Sampling(ConfigModel):
    gunshot_share: _Share = Field(default=0.5, description="of the frames of an epoch")
    source_shares: dict[str, float] = Field(
        default={"pittsburgh": 0.4, "carioni": 0.25, "ffsl": 0.12, "gungame": 0.03},
        description="of the gunshots; a source that is not named has the least of these",
    )
    label_weights: dict[str, float] = Field(
        default={"firework": 3.0}, description="of other labels; 1 for those not named"
    )
    variants: int = Field(default=24, ge=1, le=1_000, description="so often each frame is augmented beforehand")
    jitter_s: float = Field(default=0.010, ge=0.0, le=0.05, description="the onset is off by so much, either way")


class Plan(ConfigModel):
    """Everything that training draws, learns and stops by. See the fields' descriptions."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,31}$")
    seed: int = Field(ge=0, lt=2**31)
    licences: Literal["free", "all"] = Field(description="free: data that allows any use; all: non-commercial data too")
    without: tuple[str, ...] = Field(
        default=(),
        strict=False,
        description="sources that are judged, but not learned from",
    )
    folds: int = Field(default=6, ge=2, le=20)
    input: _Input = Field(default_factory=_Input)
    network: _Network = Field(default_factory=_Network)
    optimiser: _Optimiser = Field(default_factory=_Optimiser)
    sampling: _Sampling = Field(default_factory=_Sampling)
    augment: dict[str, Any] = Field(
        default_factory=dict, description="see docs/augmentation.md; what is not named is as there"
    )

    @property
    def mel(self) -> MelDefinition:
        """The picture that the network looks at."""
        return MelDefinition(**self.input.model_dump())

    @property
    def augmentation(self) -> AugmentSettings:
        """Chances and ranges of augmentation."""
        return msgspec.convert(self.augment, AugmentSettings)


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises
    ------
    ConfigError
        Names every mistake with its line.
    """
    plan = load_config(path, Plan)
    unknown = sorted(set(plan.augment) - set(AugmentSettings.__dataclass_fields__))
    if unknown:
        raise ConfigError(f"no effect has a setting {', '.join(unknown)}", source=path, field="augment")
    try:
        _ = plan.augmentation
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}", source=path, field="augment") from error
    return plan


def shipped_plan(name: str) -> Path:
    """Return the path of a plan that is shipped."""
    return Path(__file__).parent / "plans" / f"{name}.toml"


def plan_digest(plan: Plan) -> str:
    """Return the SHA-256 of everything a plan says, defaults too."""
    document = plan.model_dump() | {"augment": msgspec.to_builtins(plan.augmentation)}
    return hashlib.sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def is_free(licence: str) -> bool:
    """Say whether a licence allows any use of what is learned from the data."""
    return licence.startswith(FREE_LICENCES) and "NC" not in licence
