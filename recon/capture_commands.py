"""The sub-commands ``mesoface capture process`` and ``mesoface capture simulate``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option, quiet_option

if TYPE_CHECKING:
    from recon.capture.capture import Capture
    from recon.progress import Progress


@click.group()
def capture() -> None:
    """Turn light stage images into albedo and normals, or simulate a light stage.

    A capture is a folder with images under spherical gradient light and a file subject.toml that says what they are;
    `mesoface capture simulate` writes complete examples of it.
    """


@capture.command("process", short_help="Albedo and normals from gradient images.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the maps, one a person in it.")
@click.option("--leave-shadows", is_flag=True, help="Do not take out what the head's mesh says it shadows of itself.")
@quiet_option
@json_option
def process(folder: Path, out: Path, leave_shadows: bool, quiet: bool, as_json: bool) -> int:
    """Process the raw capture FOLDER, or all captures in it.

    Writes for every camera diffuse and specular albedo and normals (EXR), masks, a preview and a report. Where the
    capture is synthetic and its truth lies beside it, the errors against it are shown.
    """
    from recon.capture.capture_folder import write_capture
    from recon.capture.recovery import has_truth, measure_recovery
    from recon.capture.sequence import process_sequence
    from recon.errors import EXIT_DONE, EXIT_PARTIAL, MesofaceError, StorageError
    from recon.progress import be_quiet, progress_bar

    be_quiet(quiet)
    found = capture_folders(folder)
    records: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    places: dict[str, Path] = {}
    with progress_bar("processing captures") as progress:
        for index, place in enumerate(found):
            progress(index, len(found))
            try:
                made = process_sequence(place, "none" if leave_shadows else "auto")
                _claim(made.id, place, places)
                write_capture(out / made.id, made)
                errors = measure_recovery(made, place) if has_truth(place) else {}
            except StorageError:
                raise
            except MesofaceError as error:
                if len(found) == 1:
                    raise
                failed.append((place.name, str(error)))
                continue
            records += _records(made, out / made.id, errors)
        progress(len(found), len(found))
    if as_json:
        click.echo(json.dumps({"views": records, "failed": dict(failed)}, indent=2, ensure_ascii=False))
    elif not quiet:
        _print(records)
    for name, why in failed if not as_json else ():
        click.echo(f"failed: {name}: {why}", err=True)
    return EXIT_PARTIAL if failed else EXIT_DONE


def _claim(name: str, place: Path, places: dict[str, Path]) -> None:
    """Notes that the results of ``name`` come from ``place``; ids that differ in case alone share a folder somewhere.

    Raises:
        InputError: another capture has that id.
    """
    from recon.errors import InputError

    holder = places.setdefault(name.casefold(), place)
    if holder is not place:
        raise InputError(
            f"the id '{name}' in '{place}' is already that of '{holder.name}': give one another in subject.toml."
        )


def capture_folders(folder: Path) -> list[Path]:
    """The raw captures at ``folder``: itself, or those in it.

    Raises:
        InputError: there is none.
    """
    from recon.capture.sequence_file import FILE, KIND
    from recon.data.folder import check_folder
    from recon.errors import InputError

    check_folder(folder)
    if (folder / FILE).is_file():
        return [folder]  # whether it describes a sequence is said when it is read
    found = sorted(entry for entry in folder.iterdir() if entry.is_dir() and _may_be_sequence(entry))
    if not found:
        raise InputError(
            f"'{folder}' holds no raw capture: it, or the folders in it, need a file {FILE} with kind = \"{KIND}\"; "
            "`mesoface capture simulate` writes an example."
        )
    return found


def _may_be_sequence(folder: Path) -> bool:
    """Whether ``folder`` is one, or its description is too damaged to say: then processing says what is wrong."""
    from recon.capture.sequence_file import is_sequence
    from recon.errors import InputError

    try:
        return is_sequence(folder)
    except InputError:
        return True


def _records(made: Capture, place: Path, errors: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "id": made.id,
            "camera": view.name,
            "folder": str(place / view.name),
            "report": dict(view.report),
            "against_truth": errors.get(view.name),
        }
        for view in made.views
    ]


def _print(records: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("capture", "camera", "trusted", "L+L̄−L_c", "clamped"):
        table.add_column(heading, no_wrap=True)
    judged = any(record["against_truth"] for record in records)
    for heading in ("normals °", "albedo ΔE2000") if judged else ():
        table.add_column(heading, no_wrap=True)
    for record in records:
        report, errors = record["report"], (record["against_truth"] or {}).get("trusted")
        pixels, residual, clamped = report["pixels"], report["complement_residual"], report["clamped_fraction"]
        mean = None if residual is None else sum(axis["mean"] for axis in residual.values()) / len(residual)
        cells = [
            record["id"],
            record["camera"],
            f"{pixels['trusted'] / pixels['mask']:.1%}",
            "–" if mean is None else f"{mean:.2%}",
            "–" if clamped is None else f"{clamped:.2%}",
        ]
        if judged:
            cells += (
                ["–", "–"] if errors is None else [_figure(errors, q) for q in ("normal_degrees", "albedo_delta_e")]
            )
        table.add_row(*cells)
    console.print(table)
    console.print("trusted: share of the mask; L+L̄−L_c: mean residual of complements", style="dim", markup=False)
    for note in dict.fromkeys(note for record in records for note in record["report"]["notes"]):
        console.print(f"note: {note}", style="dim", markup=False)
    if judged:
        console.print("against the truth: mean, and 95th percentile, of trusted pixels", style="dim", markup=False)


def _figure(errors: dict[str, float], quantity: str) -> str:
    return f"{errors[quantity]:.2f} ({errors[quantity + '_p95']:.2f})"


@capture.command("simulate", short_help="Photograph made-up people in a synthetic light stage.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the captures, one a person.")
@click.option("--people", type=click.IntRange(1, 1000), default=1, show_default=True, help="How many people.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the first person.")
@click.option("--size", type=click.IntRange(96, 4096), default=512, show_default=True, help="Side of pictures, pixels.")
@click.option(
    "--texture", type=click.IntRange(128, 4096), default=1024, show_default=True, help="Side of the skin maps, texels."
)
@click.option("--views", default="front,left,right", show_default=True, help="Cameras: front, left, right.")
@click.option("--pattern", type=click.Choice(["linear", "binary"]), default="linear", show_default=True,
              help="Gradients, or hemispheres.")  # fmt: skip
@click.option("--unpolarised", is_flag=True, help="Without polarisers.")
@click.option("--format", "suffix", type=click.Choice(["png", "exr"]), default="png", show_default=True,
              help="16-bit PNG or EXR.")  # fmt: skip
@quiet_option
def simulate(
    out: Path,
    people: int,
    seed: int,
    size: int,
    texture: int,
    views: str,
    pattern: str,
    unpolarised: bool,
    suffix: str,
    quiet: bool,
) -> None:
    """Photograph made-up people under gradient light, with sensor noise, room light and a colour chart.

    Each gets a folder of images with subject.toml, their mesh, and what they were rendered from. People that are
    there already are kept, so that the command can be stopped and run again.
    """
    from recon.capture.made_up import STAGE_VIEWS, made_up_person, stage_cameras, stage_of
    from recon.capture.sequence_file import FILE
    from recon.capture.stage_folder import Sensor, write_sequence
    from recon.errors import UsageError
    from recon.progress import be_quiet, progress_bar
    from recon.skin_tone import TONE_GROUPS

    be_quiet(quiet)
    names = tuple(dict.fromkeys(part.strip() for part in views.split(",") if part.strip()))
    unknown = [name for name in names if name not in STAGE_VIEWS]
    if unknown or not names:
        raise UsageError(f"--views takes {', '.join(STAGE_VIEWS)}, not '{unknown[0] if unknown else views}'.")
    sensor = Sensor(polarised=not unpolarised, suffix=f".{suffix}")
    with progress_bar("photographing made-up people") as progress:
        for index in range(people):
            person = made_up_person(seed + index)
            place = out / person.id
            shown = partial(_shown, progress, index, people)
            shown(0, len(names))
            if not (place / FILE).exists():
                stage, skin = stage_of(person, texture, pattern == "binary")
                cameras = stage_cameras(stage, names, size)
                attributes = {
                    "gender": person.gender,
                    "age": str(person.age),
                    "tone_group": TONE_GROUPS[person.tone],
                }
                write_sequence(place, stage, cameras, sensor, person.id, skin, attributes, seed + index, shown)
            if not quiet:
                click.echo(str(place))


def _shown(progress: Progress, person: int, people: int, done: int, cameras: int | None) -> None:
    """Progress in pictures over all people."""
    each = cameras or 1
    progress(person * each + done, people * each)
