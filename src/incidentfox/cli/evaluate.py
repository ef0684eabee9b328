"""`incidentfox evaluate PATH…` and `incidentfox evaluate compare A B`: recorded incidents, investigated and scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from incidentfox.cli.investigate import EndpointId, Team, TimeoutS
from incidentfox.cli.output import Json
from incidentfox.cli.place import Place, in_place, say
from incidentfox.cli.session import fail
from incidentfox.kernel.errors import Failure

if TYPE_CHECKING:
    from incidentfox.cli.evaluation.results import Case

_BY_DEFAULT = "paths"


class _PathsByDefault(TyperGroup):
    """`evaluate PATH…` means `evaluate paths PATH…`."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Any:
        if args and args[0] not in {*self.commands, "--help"}:
            args = [_BY_DEFAULT, *args]
        return super().make_context(info_name, args, *rest, **extra)


app = typer.Typer(
    cls=_PathsByDefault,
    no_args_is_help=True,
    help="Investigate recorded incidents and score the answers.",
    subcommand_metavar="PATH… | COMMAND",
)

SavedFolder = Annotated[Path, typer.Argument(help="A folder that `evaluate --save` wrote.")]


@app.command(_BY_DEFAULT)
def evaluate(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(help="Folders of recorded incidents; those without alert.json are skipped.")
    ],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Investigations at a time.")] = 1,
    save: Annotated[Path | None, typer.Option(help="Keep the evaluation in this folder, for `compare`.")] = None,
    team: Team = None,
    timeout_s: TimeoutS = 300.0,
    endpoint: EndpointId = None,
    as_json: Json = False,
) -> None:
    """Investigate each recorded incident through the whole path, then score the answers against its truth.json.

    The default: `evaluate PATH…` is the same. Exits 0 when every investigation finished.
    """
    from incidentfox.cli.evaluating import candidates, investigate_all, score_all
    from incidentfox.cli.evaluation.results import Evaluation, summarise
    from incidentfox.cli.evaluation.saved import save as write
    from incidentfox.cli.investigation import open_investigator, recipient
    from incidentfox.cli.memory import MemoryMeter
    from incidentfox.cli.scorecard import outcome, print_evaluation

    try:
        found, skipped = candidates(paths)
    except Failure as failure:
        fail(failure)
    for path in skipped:
        say(f"skipped {path}: it holds no alert.json")
    for one in found:
        for warning in one.incident.warnings if one.incident else ():
            say(f"{one.name}: {warning}")

    async def run(place: Place) -> list[Case]:
        opened = open_investigator(place, recipient(team), timeout_s=timeout_s, endpoint_id=endpoint)
        async with opened as investigator:
            meter = MemoryMeter(place.processes.values())
            return await investigate_all(investigator, found, meter, jobs=jobs, on_case=lambda one: say(outcome(one)))

    cases = score_all(in_place(context, run), found)
    evaluation = Evaluation(summary=summarise(cases), cases=cases)
    if as_json:
        for item in (*evaluation.cases, evaluation.summary):
            print(item.model_dump_json())
    else:
        print_evaluation(evaluation)
    if save is not None:
        try:
            say(f"kept in {write(save, evaluation)}")
        except Failure as failure:
            fail(failure)
    raise typer.Exit(0 if evaluation.summary.finished == evaluation.summary.cases else 1)


@app.command("compare")
def compare(
    a: SavedFolder,
    b: SavedFolder,
    as_json: Json = False,
) -> None:
    """Compare two saved evaluations case by case: what was fixed, what was broken, what only changed."""
    from incidentfox.cli.evaluation.comparison import compare as compared
    from incidentfox.cli.evaluation.saved import load
    from incidentfox.cli.scorecard import print_comparison

    try:
        comparison = compared(load(a), load(b))
    except Failure as failure:
        fail(failure)
    if as_json:
        print(comparison.model_dump_json(indent=2))
    else:
        print_comparison(comparison)
