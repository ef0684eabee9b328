"""Evaluations on disk: `--save DIR` writes DIR/evaluation.json, `compare` reads two of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from incidentfox.cli.evaluation.results import Evaluation
from incidentfox.kernel.errors import Permanent

SAVED_FILE = "evaluation.json"


class SavedProblem(Permanent):
    """A saved evaluation that cannot be written or read."""

    default_code = "saved_evaluation_unusable"


def save(folder: Path, evaluation: Evaluation) -> Path:
    """Writes the evaluation into `folder`, which is made; the file that holds it."""
    path = folder / SAVED_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SavedProblem(f"{path} cannot be written: {error.strerror}. Give --save a folder that can be.") from error
    return path


def load(folder: Path) -> Evaluation:
    """Reads what `save` wrote."""
    path = folder / SAVED_FILE if folder.is_dir() else folder
    try:
        return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SavedProblem(
            f"{path} cannot be read: {error.strerror}. Make it with `incidentfox evaluate PATH… --save {folder}`."
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise SavedProblem(f"{path} is not an evaluation that this version of `incidentfox` saved.") from error
