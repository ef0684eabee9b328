"""The truth about a recorded incident: `truth.json`, opened here and nowhere else, after every answer is in."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from incidentfox.kernel.errors import Permanent

TRUTH_FILE = "truth.json"
NO_CHANGE = "none"
"""The `root_cause_commit` of an incident that no change caused."""


class TruthProblem(Permanent):
    """There is no usable truth: the case keeps its answer and is not scored."""

    default_code = "truth_unusable"


class Truth(BaseModel):
    """What really happened. A field that is absent is not scored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    root_cause_commit: str = Field(min_length=1)
    first_failing_service: str | None = None
    blast_radius: tuple[str, ...] | None = None
    remediation: str | None = None
    decoy_deploy_commits: tuple[str, ...] = ()


def read_truth(folder: Path) -> Truth:
    """The truth of the recording in `folder`; TruthProblem when it is absent or damaged."""
    path = folder / TRUTH_FILE
    try:
        return Truth.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TruthProblem(f"{path} is missing, so the answer is not scored.") from error
    except OSError as error:
        raise TruthProblem(f"{path} cannot be read: {error.strerror}.") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise TruthProblem(f"{path} is not in the form of a recording's truth. root_cause_commit is needed.") from error
