"""The front door: the command line ``mesoface``. It knows the rooms by name only: ``--help`` answers at once."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any, NamedTuple

import click

from recon import __version__
from recon.errors import EXIT_DEFECT, EXIT_INTERRUPTED, EXIT_USAGE, MesofaceError


class Entry(NamedTuple):
    """A sub-command: where it lives, and its line in the help."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "demo": Entry("metrics.run_commands", "demo", "Try everything on the embedded people; needs no data of yours."),
    "run": Entry("metrics.run_commands", "run", "Reconstruct a test set with several methods, and measure the result."),
    "metrics": Entry("metrics.evaluation_commands", "metrics", "Measure the results of a run; list the known metrics."),
    "compare": Entry(
        "metrics.commands", "compare", "Print how the methods of a run compare, and what is beyond chance."
    ),
    "fetch": Entry("recon.store_commands", "fetch", "Bring a run or database from an object store into a folder."),
    "sheet": Entry("recon.commands", "sheet", "Draw a contact sheet of a run: subjects down, methods across."),
    "render": Entry("recon.render_commands", "render", "Draw more pictures of a run: any renderer, standard views."),
    "export": Entry("recon.export_commands", "export", "Write heads as OBJ, glTF, USD with MaterialX, EXR and PNG."),
    "database": Entry("recon.commands", "database", "Build the texture database that methods learn detail from."),
    "dataset": Entry("recon.dataset_commands", "dataset", "Make a data set of face models from photographs."),
    "capture": Entry("recon.capture_commands", "capture", "Process light stage images, or simulate a stage."),
    "results": Entry("metrics.import_commands", "results", "Bring results of other systems into a run."),
    "plugin": Entry("metrics.plugin_commands", "plugin", "Check a package that adds methods or metrics."),
    "study": Entry("study.commands", "study", "Ask people which faces look real."),
    "dashboard": Entry("dashboard.commands", "dashboard", "Browse runs, comparisons and studies in the browser."),
    "assets": Entry("recon.commands", "assets", "List, fetch, add and verify models, weights and data sets."),
}

EPILOG = """\b
Exit codes:
  0  done                          4  a model, weight file or data set is missing
  1  a defect in mesoface          5  finished, but some subjects failed
  2  wrong use of the command line 6  disk full, or a folder cannot be written
  3  bad input                     130  interrupted; run the same command again to continue

The variable MESOFACE_HOME names the folder of models and caches.
"""


class Rooms(click.Group):
    """A group whose sub-commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub-command, imported; every one of its leaves takes ``--debug``."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(importlib.import_module(entry.module), entry.attribute)
        _accept_debug(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest name for an unknown one."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.0)[0]
            ctx.fail(f"there is no command '{args[0]}'; did you mean '{near}'?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the sub-command; a reader of our output that went away (`mesoface … | head`) is no failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except SystemExit as error:  # what rich makes of it
            if isinstance(error.__context__, BrokenPipeError):
                ctx.exit(0)
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of sub-commands, without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


def _remember_debug(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.find_root().obj["debug"] = True


def _accept_debug(command: click.Command) -> None:
    if isinstance(command, click.Group):
        for leaf in command.commands.values():
            _accept_debug(leaf)
    elif not any(parameter.name == "debug" for parameter in command.params):
        command.params.append(
            click.Option(
                ["--debug"], is_flag=True, expose_value=False, callback=_remember_debug, help="Show tracebacks."
            )
        )


@click.group(
    cls=Rooms, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="mesoface", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, callback=_remember_debug, help="Show tracebacks.")
def cli() -> None:
    """Photorealistic facial texture from one photograph: reconstruct with every method, measure, compare.

    \b
    Start with:   mesoface demo
    Your photos:  mesoface run --data folder=PATH --database synthetic --out runs/first
                  mesoface compare runs/first
    """


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: expected failures are one sentence on the error stream, and an exit code."""
    # Bars and tables draw signs beyond Latin-1, which the error stream of a bare locale cannot encode.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    settings: dict[str, Any] = {"debug": False}
    sys.exit(_guarded(sys.argv[1:] if arguments is None else arguments, settings))


def _guarded(arguments: list[str], settings: dict[str, Any]) -> int:
    try:
        result = cli.main(args=arguments, prog_name="mesoface", standalone_mode=False, obj=settings)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except MesofaceError as error:
        _show(settings, f"mesoface: {error}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _show(settings, "mesoface: interrupted; what was finished is kept. Run the same command again to continue.")
        return EXIT_INTERRUPTED
    except OSError as error:
        from recon.storage import is_storage_failure, storage_error

        if not is_storage_failure(error):
            return _defect(settings, error)
        typed = storage_error(error, error.filename or "a file")
        _show(settings, f"mesoface: {typed}")
        return typed.exit_code
    except Exception as error:
        return _defect(settings, error)


def _show(settings: dict[str, Any], text: str) -> None:
    if settings["debug"]:
        traceback.print_exc()
    click.echo(text, err=True)


def _defect(settings: dict[str, Any], error: Exception) -> int:
    hint = "" if settings["debug"] else " Run the command again with --debug for the traceback, and please report it."
    _show(settings, f"mesoface: unexpected failure: {type(error).__name__}: {error}.{hint}")
    return EXIT_DEFECT


if __name__ == "__main__":
    main()
