"""``mesoface study launch``, ``status``, ``pause``, ``resume`` and ``close``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option, quiet_option
from study.command_options import study_argument
from study.database_commands import database_option

if TYPE_CHECKING:
    from study.launching import Launched, Status

live_option = click.option("--live", is_flag=True, help="Real raters and money; without it nothing that costs is done.")
endpoint_option = click.option("--endpoint", default="", metavar="URL", help="Of the provider, if not its own.")


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))
@click.option("--name", help="Put the study into the folder FOLDER/NAME, under this name, and launch it from there.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("studies"),
    show_default=True,
    help="Where --name makes the study's folder.",
)
@click.option("--url", default="", help="Https address at which raters reach 'mesoface study serve'.")
@click.option("--completion-code", default="", help="For all raters of Prolific; default: one that launch prints.")
@click.option("--screen-out-code", default="", help="Likewise, for raters whose screen will not do.")
@click.option("--draft", is_flag=True, help="Stop before it is offered: nobody sees the draft, nothing costs.")
@click.option("--test", is_flag=True, help="Offer it to Prolific's test participants, as NAME-test; nothing costs.")
@click.option("--replace-rejected", is_flag=True, help="Offer the places of rejected raters again, for their money.")
@live_option
@endpoint_option
@database_option
@quiet_option
@json_option
def launch(
    study: Path,
    name: str | None,
    folder: Path,
    url: str,
    completion_code: str,
    screen_out_code: str,
    draft: bool,
    test: bool,
    replace_rejected: bool,
    live: bool,
    endpoint: str,
    db: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Launch STUDY, a study file or its folder: check it, make its pictures, enter it, offer it to raters.

    What would cost more than payment.cap is not done. May be stopped and run again; nothing is made or posted twice.

    With --test the study is entered as NAME-test, beside its folder: test participants' answers stay apart. Prolific
    itself, and this program where raters are our own, give the place of a rejected rater to the next one; Mechanical
    Turk does so with --replace-rejected.
    """
    from recon.errors import UsageError
    from recon.progress import be_quiet, progress_bar
    from study.launching import launch_study, place_study, prepared_database

    wishes = {"draft": draft, "test": test, "replace": replace_rejected}
    steps: list[Any] = [step for step, wanted in wishes.items() if wanted]
    if len(steps) > 1:
        raise UsageError("--draft, --test and --replace-rejected are different wishes: give one.")
    be_quiet(quiet)
    file = study / "study.yaml" if study.is_dir() else study
    if name is not None:
        file = place_study(file, folder, name)
    engine = prepared_database(db)
    try:
        with progress_bar("making stimuli") as progress:
            done = launch_study(file, engine, progress, address=url, completion_code=completion_code,
                                screen_out_code=screen_out_code, step=(steps or ["offer"])[0], live=live,
                                endpoint=endpoint)  # fmt: skip
    finally:
        engine.dispose()
    click.echo(json.dumps(_launched_json(done), indent=2, ensure_ascii=False) if as_json else _launched_text(done, db))


def _launched_json(done: Launched) -> dict[str, Any]:
    return {
        "study": done.name,
        "folder": str(done.folder),
        "provider": done.provider,
        "pictures": done.pictures,
        "gaps": done.gaps,
        "address": done.address,
        "completion_code": done.completion_code,
        "screen_out_code": done.screen_out_code,
        "postings": [{"state": one.state, "places": one.places, "url": one.url} for one in done.posted],
        "committed_cents": done.budget.committed_cents,
        "cap_cents": done.budget.cap_cents,
        "currency": done.budget.currency,
    }


def _launched_text(done: Launched, db: str | None) -> str:
    import shlex

    from sqlalchemy import make_url

    from study.costs import money
    from study.publishing import RECORD

    budget = done.budget
    missing = f", {done.gaps} missing" if done.gaps else ""
    lines = [
        f"{done.name}: {done.pictures} pictures{missing}; "
        f"{money(budget.committed_cents, budget.currency)} set aside, cap {money(budget.cap_cents, budget.currency)}"
    ]
    lines += [f"  {one.state}: {one.places} places" + f" at {one.url}" * bool(one.url) for one in done.posted]
    if not done.posted:
        lines.append("  no place of a rejected rater is to be offered again")
    codes = f" --completion-code {done.completion_code}" if done.completion_code else ""
    codes += f" --screen-out-code {done.screen_out_code}" if done.screen_out_code else ""
    # Served from another database it would be entered there, too, and answers would be parted.
    where = "" if db is None else f" --db {shlex.quote(make_url(db).render_as_string(hide_password=True))}"
    published = " --published" if (done.folder / RECORD).is_file() else ""
    lines.append(f"  serve it: mesoface study serve {done.folder}{codes}{where}{published}")
    if done.provider == "local":
        lines.append(f"  raters open {done.address}, or links of their own: mesoface study links {done.folder} …")
    return "\n".join(lines)


@click.command()
@study_argument(required=False)
@database_option
@json_option
def status(name: str | None, db: str | None, as_json: bool) -> None:
    """Say where STUDY stands (a name, or its folder): slots, sessions, answers, cost against cap; without it all."""
    from study.engine import open_database, require_schema
    from study.launching import study_names, study_status

    engine = open_database(db)
    try:
        require_schema(engine)
        names = study_names(engine) if name is None else (name,)
        found = [study_status(engine, one) for one in names]
    finally:
        engine.dispose()
    if as_json:
        records = [_status_json(one) for one in found]
        click.echo(json.dumps(records if name is None else records[0], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(map(_status_text, found)) or "there are no studies in this database")


def _status_json(found: Status) -> dict[str, Any]:
    budget = found.budget
    return {
        "study": found.name,
        "design": found.design,
        "provider": found.provider,
        "state": found.state,
        "simulated": found.simulated,
        "slots": dict(found.slots),
        "sessions": dict(found.sessions),
        "answers": found.answers,
        "postings": [{"state": state, "places": places, "url": url} for state, places, url in found.postings],
        "committed_cents": budget.committed_cents,
        "confirmed_cents": budget.confirmed_cents,
        "cap_cents": budget.cap_cents,
        "currency": budget.currency,
        "unsettled": list(budget.unsettled),
        "opened_at": None if found.opened_at is None else found.opened_at.isoformat(),
        "closed_at": None if found.closed_at is None else found.closed_at.isoformat(),
    }


def _status_text(found: Status) -> str:
    from study.costs import money

    budget, slots = found.budget, found.slots
    total = sum(slots.values())
    kind = "rehearsal with model raters" if found.simulated else f"raters of '{found.provider}'"
    sessions = ", ".join(f"{count} {state}" for state, count in sorted(found.sessions.items())) or "nobody came yet"
    lines = [
        f"{found.name}: {found.state} ({found.design}, {kind})",
        f"  places     {slots.get('done', 0)} of {total} done, {slots.get('leased', 0)} at work, "
        f"{slots.get('free', 0)} free",
        f"  sessions   {sessions}",
        f"  answers    {found.answers}",
        f"  money      {money(budget.committed_cents, budget.currency)} set aside, of it "
        f"{money(budget.confirmed_cents, budget.currency)} paid; cap {money(budget.cap_cents, budget.currency)}",
    ]
    if found.state == "closed" and found.provider != "local" and budget.confirmed_cents < budget.committed_cents:
        lines.append("             (what is set aside for places that nobody took is not charged)")
    if budget.unsettled:
        lines.append(
            f"  UNSETTLED  {len(budget.unsettled)} payments of which nobody knows whether they arrived: look at the "
            "marketplace, then 'mesoface study settle': " + ", ".join(token[:12] for token in budget.unsettled)
        )
    lines += [
        f"  posting    {state}, {places} places" + f", {url}" * bool(url) for state, places, url in found.postings
    ]
    return "\n".join(lines)


@click.command()
@study_argument()
@database_option
def pause(name: str, db: str | None) -> None:
    """Let no new raters into STUDY; those at work finish. A marketplace goes on offering it: they are sent away."""
    _set_state(db, name, "paused")


@click.command()
@study_argument()
@database_option
def resume(name: str, db: str | None) -> None:
    """Let raters into STUDY again."""
    _set_state(db, name, "open")


def _set_state(db: str | None, name: str, wanted: str) -> None:
    from study.engine import open_database, require_schema
    from study.launching import set_state

    engine, study = open_database(db), name
    try:
        require_schema(engine)
        changed = set_state(engine, study, wanted)
    finally:
        engine.dispose()
    click.echo(f"{study}: {wanted}" if changed else f"{study}: was {wanted} already")


@click.command()
@study_argument()
@live_option
@endpoint_option
@database_option
def close(name: str, live: bool, endpoint: str, db: str | None) -> None:
    """Close STUDY for good, here and at its marketplace; raters at work finish and are paid."""
    from study.engine import open_database, require_schema
    from study.launching import close_study

    engine, study = open_database(db), name
    try:
        require_schema(engine)
        changed, postings = close_study(engine, study, live=live, endpoint=endpoint)
    finally:
        engine.dispose()
    click.echo(f"{study}: closed" if changed else f"{study}: was closed already")
    for one in postings:
        click.echo(f"  posting {one.state}, {one.places} places")
