"""``mesoface study review``, ``pay`` and ``bonus``: whose answers are used, who is paid, and the paying itself."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option, quiet_option
from study.command_options import study_argument
from study.database_commands import database_option

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from study.quality.decisions import Review, Standing
    from study.rewards import Due, Dues

live_option = click.option("--live", is_flag=True, help="Move real money.")
endpoint_option = click.option(
    "--endpoint", default="", metavar="URL", help="Of the marketplace's interface, where it is not its own."
)
_COLUMNS = ("session", "rater", "state", "pay", "use", "decided_by", "reasons", "notes")


@click.command()
@study_argument()
@database_option
@click.option("--decide", is_flag=True, help="Keep what the rules say; what a person decided stays.")
@click.option(
    "--set",
    "choices",
    nargs=3,
    multiple=True,
    metavar="SESSION pay=yes|no use=yes|no",
    help="Decide one session yourself, against the rules too; with --reason. May be given several times.",
)
@click.option("--reason", default="", help="Of --set; a rater who is rejected reads it.")
@click.option("--by", metavar="NAME", help="Who decides with --set; default: your login name.")
@click.option("--csv", "table", type=click.Path(path_type=Path, dir_okay=False), help="Write all sessions to FILE.")
@json_option
def review(
    name: str,
    db: str | None,
    decide: bool,
    choices: tuple[tuple[str, str, str], ...],
    reason: str,
    by: str | None,
    table: Path | None,
    as_json: bool,
) -> None:
    """Show each session of STUDY: whether it is to be paid, whether it is to be analysed, and why.

    Pay and use are decided apart. Without --decide and --set nothing is written: what is shown of undecided sessions
    (decided by: -) is what the rules would say.
    """
    from recon.storage import write_text
    from study.engine import open_database
    from study.quality.decisions import decide_by_rules
    from study.quality.decisions import review as read_review

    engine = open_database(db)
    wishes = [_choice(*choice) for choice in choices]
    if wishes:
        _decide_by_hand(engine, name, wishes, reason, by)
    written = decide_by_rules(engine, name) if decide else 0
    found = read_review(engine, name)
    if table is not None:
        write_text(table, _as_csv(found))
    if as_json:
        click.echo(json.dumps(_as_json(found, written), indent=2, ensure_ascii=False))
    else:
        click.echo(_as_text(found))
        if decide:
            click.echo(f"{written} decided now")


def _choice(session: str, first: str, second: str) -> tuple[int, bool, bool]:
    from recon.errors import UsageError

    answers = {"yes": True, "no": False}
    said = dict(part.partition("=")[::2] for part in (first, second))
    if not session.isdecimal() or set(said) != {"pay", "use"} or not set(said.values()) <= set(answers):
        raise UsageError(f"'{session} {first} {second}' decides nothing: write for example --set 12 pay=yes use=no.")
    return int(session), answers[said["pay"]], answers[said["use"]]


def _decide_by_hand(
    engine: Engine, name: str, wishes: list[tuple[int, bool, bool]], reason: str, by: str | None
) -> None:
    import getpass

    from study.quality.decisions import decide_by_person

    who = getpass.getuser() if by is None else by
    for session, pay, use in wishes:
        decide_by_person(engine, name, session, pay=pay, use=use, reason=reason, by=who)


def _row(one: Standing) -> dict[str, Any]:
    judged, decision = one.judgement, one.decision
    return {
        "session": judged.session,
        "rater": judged.rater,
        "state": judged.state,
        "pay": one.pay,
        "use": one.use,
        "decided_by": None if decision is None else decision.decided_by,
        "reasons": list(one.reasons),
        "notes": list(judged.notes),
    }


def _as_json(found: Review, written: int) -> dict[str, Any]:
    rows = [
        {
            **_row(one),
            "answered": one.judgement.answered,
            "trials": one.judgement.trials,
            "rules": {
                "pay": one.judgement.pay,
                "use": one.judgement.use,
                "reasons": [str(reason) for reason in one.judgement.reasons],
            },
        }
        for one in found.standings
    ]
    return {
        "study": found.study,
        "simulated": found.simulated,
        "decided_now": written,
        "summary": _summary(found),
        "sessions": rows,
    }


def _summary(found: Review) -> dict[str, Any]:
    finished = [one for one in found.standings if one.judgement.finished]
    struck = Counter(reason.rule for one in finished for reason in {r.rule: r for r in one.judgement.reasons}.values())
    return {
        "sessions": len(found.standings),
        "finished": len(finished),
        "decided": sum(one.decision is not None for one in finished),
        "pay": sum(one.pay for one in finished),
        "use": sum(one.use for one in finished),
        "struck_by": dict(sorted(struck.items())),
    }


def _as_csv(found: Review) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in found.standings:
        row = _row(one)
        words = {"pay": _yes(one.pay), "use": _yes(one.use), "decided_by": row["decided_by"] or ""}
        words |= {"reasons": "; ".join(row["reasons"]), "notes": "; ".join(row["notes"])}
        writer.writerow([words.get(column, row[column]) for column in _COLUMNS])
    return text.getvalue()


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _as_text(found: Review) -> str:
    total = _summary(found)
    lines = [f"{'session':>7}  {'rater':12}  {'state':12}  {'pay':3}  {'use':3}  {'decided by':12}  why"]
    for one in found.standings:
        by = "-" if one.decision is None else one.decision.decided_by
        head = f"{one.judgement.session:7}  {one.judgement.rater:12}  {one.judgement.state:12}  "
        head += f"{_yes(one.pay):3}  {_yes(one.use):3}  {by[:12]:12}  "
        said = [*one.reasons, *(f"note: {note}" for note in one.judgement.notes)]
        lines += [(head if first else " " * len(head)) + text for first, text in _marked(said)]
    kind = " (model raters: decided, never paid)" if found.simulated else ""
    lines.append(
        f"{found.study}{kind}: {total['sessions']} sessions, {total['finished']} handed in, {total['decided']} of "
        f"these decided; pay {total['pay']}, use {total['use']}"
    )
    if total["struck_by"]:
        lines.append("rules that struck: " + ", ".join(f"{rule} {n}" for rule, n in total["struck_by"].items()))
    if total["decided"] < total["finished"]:
        lines.append("nothing holds for the others yet: keep what the rules say with --decide")
    return "\n".join(line.rstrip() for line in lines)


def _marked(said: list[str]) -> list[tuple[bool, str]]:
    """Each with whether it is the first; one empty line where nothing is said."""
    return [(place == 0, text) for place, text in enumerate(said or [""])]


@click.command()
@study_argument()
@database_option
@live_option
@click.option("--dry-run", is_flag=True, help="Say what is due; call nothing and write nothing.")
@endpoint_option
@quiet_option
def pay(name: str, db: str | None, live: bool, dry_run: bool, endpoint: str, quiet: bool) -> int:
    """Pay the raters of STUDY as it was decided, each once; reject those whom a decision refuses pay.

    Sessions without a decision are left alone. May be killed at any point and run again. Of our own raters (provider
    local) it prints what is owed to whom as CSV, by the code that each rater was shown: the money is yours to hand out.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, progress_bar
    from study.engine import open_database
    from study.providers import PROVIDERS, ProviderSettings
    from study.rewards import dues, settle

    engine = open_database(db)
    due = dues(engine, name)
    if dry_run:
        _say_dues(due)
        return EXIT_DONE
    if quiet:
        be_quiet()
    provider = PROVIDERS.get(due.provider)(ProviderSettings(live=live, endpoint=endpoint, engine=engine))
    with progress_bar("sessions") as progress:
        done = settle(engine, provider, name, progress)
    due = dues(engine, name)
    if due.provider == "local":
        _say_owed(due)
    for session, reason in sorted(done.failed.items()):
        click.echo(f"session {session}: {reason}", err=True)
    _say_gone(due)
    counts = f"paid {len(done.approved)}, rejected {len(done.rejected)}, not decided {len(due.undecided)}; "
    _say_budget(engine, name, counts)
    if done.stopped:
        click.echo(done.stopped, err=True)
    return EXIT_PARTIAL if done.failed else EXIT_DONE


@click.command()
@study_argument()
@click.argument("session", type=click.IntRange(min=1))
@click.argument("cents", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Read by the rater. The same reason again is the same bonus.")
@database_option
@live_option
@endpoint_option
def bonus(name: str, session: int, cents: int, reason: str, db: str | None, live: bool, endpoint: str) -> None:
    """Pay the rater of SESSION in STUDY a bonus of CENTS, once for each reason, within the cap.

    For good work, for a session that our fault cut off, and for one that was rejected by mistake.
    """
    from study.costs import money
    from study.engine import open_database
    from study.providers import PROVIDERS, ProviderSettings
    from study.rewards import dues, give_bonus

    engine = open_database(db)
    due = dues(engine, name)
    provider = PROVIDERS.get(due.provider)(ProviderSettings(live=live, endpoint=endpoint, engine=engine))
    paid = give_bonus(engine, provider, name, session, cents, reason)
    said = f"{name}: bonus of {money(cents, due.currency)} to session {session}: {reason.strip()}"
    click.echo(said if paid else f"{said} (was paid before: give another reason for another bonus)")
    _say_budget(engine, name)


def _say_dues(due: Dues) -> None:
    from study.costs import money

    total = money(len(due.approve) * due.reward_cents, due.currency)
    click.echo(f"{due.study}: to pay {len(due.approve)} raters, {total} and the fees set aside at launch")
    click.echo(f"  paid before {len(due.paid)}, to reject {len(due.reject)}, not decided {len(due.undecided)}")
    for one in due.reject:
        click.echo(f"  reject session {one.session}: {'; '.join(one.decision.reasons)}")
    _say_gone(due)


def _say_gone(due: Dues) -> None:
    for one in due.gone:
        if one.decision.pay:
            click.echo(
                f"session {one.session} was handed in here, and returned or timed out at {due.provider}: "
                "if it is owed something, pay it with 'mesoface study bonus'",
                err=True,
            )


def _say_owed(due: Dues) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("session", "completion_code", "rater", "amount", "currency"))
    writer.writerows(_owed(one, due) for one in due.paid)
    click.echo(text.getvalue(), nl=False)


def _owed(one: Due, due: Dues) -> tuple[Any, ...]:
    from study.costs import money

    amount = money(due.reward_cents, due.currency).removeprefix(f"{due.currency} ")
    return one.session, one.code, one.rater, amount, due.currency


def _say_budget(engine: Engine, study: str, done: str = "") -> None:
    """On standard error, so that the CSV of standard output stays one."""
    from study.costs import money
    from study.engine import reading
    from study.ledger import budget
    from study.quality.records import find_study

    with reading(engine) as session:
        stands = budget(session, find_study(session, study))
    click.echo(
        f"{study}: {done}confirmed {money(stands.confirmed_cents, stands.currency)} of "
        f"{money(stands.committed_cents, stands.currency)} set aside, cap {money(stands.cap_cents, stands.currency)}",
        err=True,
    )
    for token in stands.unsettled:
        click.echo(
            f"nobody knows whether payment {token[:12]} arrived: look at the marketplace, "
            "then 'mesoface study settle TOKEN --paid' or --not-paid",
            err=True,
        )
