"""``mesoface study``: from a finished run to what people say of it. Each sub-command lives beside what it commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option
from study.database_commands import database
from study.launch_commands import close, launch, pause, resume, status
from study.provider_commands import ask_return, follow, import_batch_command, settle
from study.report_commands import report
from study.review_commands import bonus, pay, review
from study.server_commands import links, serve
from study.simulation_commands import simulate
from study.stimuli_commands import publish, stimuli

if TYPE_CHECKING:
    from study.check import Checked


class InOrder(click.Group):
    """Lists its sub-commands in the order in which a study needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were added."""
        return list(self.commands)


@click.group(cls=InOrder)
def study() -> None:
    """Ask people: lay out a study, host it, watch it, pay, and analyse what they said.

    'launch', 'simulate' and 'import-batch' make the study database where there is none; other commands that need one
    end with exit code 3.
    """


@study.command("example")
@click.argument("name", required=False)
@click.option(
    "--run", type=click.Path(path_type=Path), help="Make it fit this run: its methods, people, and size of pictures."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write study.yaml into this new folder, which names the study."
)
def example_command(name: str | None, run: Path | None, out: Path | None) -> None:
    """Print the ready study file NAME, to copy and change; without NAME their names.

    With --run it asks raters of your own (payment.provider local), and can be launched as it is.
    """
    import difflib

    from recon.errors import UsageError
    from study.ready_files import ready_files, ready_text

    known = ready_files()
    if name is None:
        if run is not None or out is not None:
            raise UsageError(f"say which ready study: {', '.join(known)}.")
        click.echo("\n".join(known))
        return
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UsageError(f"there is no example '{name}': did you mean '{near}'? Known: {', '.join(known)}.")
    text = ready_text(name) if run is None else _fitted(name, run, out)
    if out is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"wrote {_written(text, out)}")


def _fitted(name: str, run: Path, out: Path | None) -> str:
    """The ready study ``name`` for ``run``; what was changed is said on the standard error."""
    import os

    from study.ready_files import as_yaml, changed, ready
    from study.suggestions import suggestion

    fitting = suggestion(run, name)
    for sentence in fitting.said:
        click.echo(sentence, err=True)
    place = str(run.resolve()) if out is None else Path(os.path.relpath(run.resolve(), out.resolve())).as_posix()
    own = {} if out is None else {"name": out.resolve().name}
    return as_yaml(changed(ready(name), {**fitting.changes, **own, "stimuli.runs": [place]}))


def _written(text: str, folder: Path) -> Path:
    from recon.errors import InputError
    from recon.storage import make_folder, write_text

    file = folder / "study.yaml"
    if file.exists():
        raise InputError(f"'{file}' is there already, and is not written over: name another folder.")
    make_folder(folder)
    write_text(file, text)
    return file


@study.command("schema")
@json_option
def schema_command(as_json: bool) -> None:
    """Print every field of a study file with its meaning; with --json the JSON schema that editors take."""
    import json

    from study.schema import json_schema, markdown

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False) if as_json else markdown(), nl=as_json)


@study.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--simulations",
    type=click.IntRange(min=0, max=100_000),
    default=400,
    show_default=True,
    help="Studies that the power simulation runs for each difference it tries; 0 leaves it out.",
)
@click.option("--preview", is_flag=True, help="Then show the pages in a browser; answers go nowhere. Ctrl-C ends it.")
@json_option
def check_command(file: Path, simulations: int, preview: bool, as_json: bool) -> None:
    """Check a study FILE: can it be laid out, what does it cost, what difference would it detect?

    Ends with exit code 3 where something stands against running it, a cost beyond the cap among it.
    """
    import json

    from recon.errors import InputError
    from study.check import check_study

    path = file / "study.yaml" if file.is_dir() else file
    found = check_study(path, simulations)
    click.echo(json.dumps(_as_json(found), indent=2, ensure_ascii=False) if as_json else _as_text(found))
    if found.objections:
        count = len(found.objections)
        raise InputError(f"'{file}' should not be run: {found.objections[0]}" + (f" ({count} in all)" * (count > 1)))
    if preview:
        _preview(path)


def _preview(path: Path) -> None:
    """The pages in a browser, until Ctrl-C."""
    import threading
    import webbrowser

    from study.preview import previewed

    with previewed(path) as address:
        click.echo(f"preview at {address} (answers are thrown away); Ctrl-C ends it", err=True)
        webbrowser.open(address)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("preview ended", err=True)


def _as_json(found: Checked) -> dict[str, Any]:
    from dataclasses import asdict

    power = None if found.power is None else {"difference": found.power.difference, "power": found.power.power}
    needed = (
        None if found.raters_needed is None else dict(zip(("difference", "raters"), found.raters_needed, strict=True))
    )
    return {
        "study": found.specification.name,
        "sha256": found.specification.sha256(),
        "pictures": found.pictures,
        "objections": list(found.objections),
        "notes": list(found.notes),
        "views_of_a_picture": list(found.views) if found.sessions else None,
        "costs": {**asdict(found.costs), "total": found.costs.total},
        "power": power,
        "power_reason": found.power_reason,
        "raters_needed": needed,
    }


def _as_text(found: Checked) -> str:
    from study.check import power_in_words
    from study.costs import money

    asked, costs = found.specification, found.costs
    trials, currency = asked.trials, costs.currency
    parts = (("training", trials.training), ("gold", trials.gold), ("attention", trials.attention))
    others = ", ".join(f"{count} {part}" for part, count in parts if count)
    lines = [
        f"{asked.name}: {asked.design}, {asked.raters} raters, {trials.main} trials each"
        + f" (and {others})" * bool(others),
        f"  pictures   {found.pictures}",
    ]
    if found.sessions:
        least, most = found.views
        seen = f"{least}" if least == most else f"{least} to {most}"
        lines.append(f"  layout     laid out for {len(found.sessions)} raters; each rendering is seen {seen} times")
    lines += [
        f"  time       {costs.minutes:.1f} minutes a rater ({costs.trials} trials of {costs.seconds_per_trial:g} s)",
        f"  pay        {money(asked.payment.reward, currency)} a rater, {money(int(costs.per_hour), currency)} an hour",
        f"  cost       {money(costs.total, currency)}: rewards {money(costs.rewards, currency)}, bonuses "
        f"{money(costs.bonuses, currency)}, fees {money(costs.fees, currency)}, tax {money(costs.tax, currency)}",
        f"  cap        {money(costs.cap, currency)}",
        f"  fees       {costs.source}",
        f"  power      {power_in_words(found)}",
    ]
    lines += [f"  note       {note}" for note in found.notes]
    lines += [f"  AGAINST    {objection}" for objection in found.objections]
    return "\n".join(lines)


for command in (
    stimuli, publish, simulate, launch, serve, links, status, follow, pause, resume, close, review, pay, bonus,
    ask_return, settle, import_batch_command, report, database,
):  # fmt: skip
    study.add_command(command)
