"""`maskfit data majority`: one label for each photo from the votes of several annotators."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_next, print_table, print_written
from maskfit.cli.dataset_options import DEFAULT_SCHEMA, SchemaOption, find_schema, training_words
from maskfit.errors import DataError
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.labels.schema import LabelSchema
    from maskfit.training.majority_labels import MajorityLabels

MAX_TIES = 20
"""Ties that are listed; `--json` lists all."""


def majority(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="VOTES...",
            help="CSV with a row for each photo and annotator (path,annotator,mask), or a column for each value with "
            "numbers of votes (path,mask=wear,mask=not_wear); or a CSV (path,mask) of each annotator, with their name.",
            show_default=False,
        ),
    ],
    target: Annotated[Path, typer.Option("--out", metavar="FILE", help="Manifest (CSV) to write.")],
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Folder that paths start from; that of VOTES by default."),
    ] = None,
    joined: Annotated[
        Path | None,
        typer.Option(
            "--votes", metavar="FILE", help="Table of all votes to write, for data.soft_labels; with several VOTES."
        ),
    ] = None,
    tied: Annotated[
        Path | None,
        typer.Option(
            "--ties",
            metavar="FILE",
            help="Table of the photos with a tie to write, for one more annotator to fill in; its name is theirs.",
        ),
    ] = None,
    schema: SchemaOption = DEFAULT_SCHEMA,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Make a manifest of majority labels from the votes of several annotators.

    Each attribute gets the value with the most votes. Ties stay empty and are listed. Ages in years are counted by
    their band; the cell is the median of the years in it. Prints how far the annotators agree.

    Of two annotators every disagreement is a tie: `--ties` writes those photos as a table for a third.

    Examples:

        maskfit data majority votes.csv --out manifest.csv

        maskfit data majority anna.csv bert.csv carl.csv --out manifest.csv --votes joined.csv

        maskfit data majority anna.csv bert.csv --out manifest.csv --votes joined.csv --ties carl.csv

        maskfit train baseline data.path=manifest.csv data.soft_labels=votes.csv
    """
    from maskfit.data.validation import find_smaller_schema
    from maskfit.training.majority_labels import find_majority, write_majority, write_ties

    check_overwrite(target, force, inputs_checked=True)
    if target.resolve() in [table.resolve() for table in tables]:
        raise DataError("this is a table of votes", location=target, hint="choose another file for --out")
    if tied is not None:
        _check_ties_file(tied, [*tables, target, *([joined] if joined else [])])
    labels = find_schema(schema)
    votes, root = tables[0], images
    if joined is not None or len(tables) > 1:
        votes = _join(tables, joined, target, images, labels, force)
        images = None
    found = find_majority(votes, labels)
    if tied is not None and found.ties and len(tables) == 1 and not _has_annotators(tables[0]):
        raise DataError(
            "--ties is for votes with their annotators, which a further table can join",
            location=votes,
            hint="leave out --ties, and add further votes to this table; or give a table of each annotator",
        )
    write_majority(found, votes, target, images)
    if tied is not None and found.ties:
        write_ties(found, votes, tied, images, root)
    known = {name: sum(map(bool, cells)) for name, cells in found.labels.items()}
    ties = {name: sum(tie.attribute == name for tie in found.ties) for name in found.labels}
    if json:
        record: dict[str, Any] = {"written": str(target), "photos": len(found.photos), "labels": known}
        record["ties"] = [{"photo": tie.photo, "label": tie.attribute, "votes": dict(tie.votes)} for tie in found.ties]
        record["agreement"] = {
            name: {"photos": item.photos, "unanimous": item.unanimous, "pairs": item.pairs, "pairwise": item.pairwise}
            for name, item in found.agreement.items()
        }
        print_json(record)
        return
    rows = []
    for name, item in found.agreement.items():
        rows.append((name, known[name], ties[name], item.photos, item.unanimous, _percent(item.pairwise)))
    header = ["", "labels", "ties", "photos with several votes", "all equal", "pairs of votes that agree"]
    print_table(f"{votes}: {format_count(len(found.photos), 'photo')}", header, rows)
    if not any(item.photos for item in found.agreement.values()):
        line = "no photo has votes of several annotators, so every label is the vote of one"
        err.print(line, style="yellow")
    for name, cells in found.labels.items():
        if empty := len(cells) - known[name] - ties[name]:
            err.print(f"{name}: {format_count(empty, 'photo has', 'photos have')} no vote, and no label")
    options = f" --images {quote(str(root))}" if root else ""
    options += "" if schema == DEFAULT_SCHEMA else f" --schema {quote(schema)}"
    _print_ties(found, tables, tied, options)
    if joined is not None:
        print_written(joined, "all votes", console=out)
    print_written(target, format_count(len(found.photos), "row"), console=out)
    voted = tuple(name for name, count in known.items() if count)
    trained = schema if voted == labels.names else find_smaller_schema(voted, labels) or schema
    option = "" if trained == DEFAULT_SCHEMA else f" --schema {quote(trained)}"
    recipe, *overrides = training_words(trained, "baseline")
    key = "".join(f" {quote(word)}" for word in overrides)
    print_next(
        f"data check {quote(str(target))}{option}",
        f"train {quote(recipe)} data.path={quote(str(target))} data.soft_labels={quote(str(votes))}{key}",
    )


def _check_ties_file(path: Path, others: list[Path]) -> None:
    if path.resolve() in [other.resolve() for other in others]:
        raise DataError("--ties is another file of this command", location=path, hint="choose a file of its own")
    # Also with --force, which is given for the other files: somebody may have filled it in.
    if path.exists():
        raise DataError(
            "the file exists, and may hold somebody's votes", location=path, hint="choose another file for --ties"
        )


def _print_ties(found: MajorityLabels, tables: list[Path], written: Path | None, options: str) -> None:
    """Lists the ties, says why there are so many, and how to settle them."""
    if not found.ties:
        if written is not None:
            err.print(f"there is no tie, so {written} is not written", soft_wrap=True)
        return
    err.print(f"{format_count(len(found.ties), 'label stays', 'labels stay')} empty, tied:", style="yellow")
    for tie in found.ties[:MAX_TIES]:
        said = ", ".join(f"{value} {count:,}" for value, count in tie.votes.items())
        err.print(f"  {tie.photo}  {tie.attribute}: {said}", markup=False, highlight=False, soft_wrap=True)
    if len(found.ties) > MAX_TIES:
        err.print(f"  and {len(found.ties) - MAX_TIES:,} more; --json lists all")
    if found.has_two_votes_at_most:
        err.print("no photo has more than two votes, so every disagreement is a tie: only a third vote settles it")
    photos = format_count(len({tie.photo for tie in found.ties}), "photo")
    if len(tables) == 1 and not _has_annotators(tables[0]):
        err.print(
            f"next: add one more vote for {'this photo' if photos == '1 photo' else f'these {photos}'} to the table"
        )
    elif written is None:
        err.print(
            f"next: --ties FILE writes {photos} as a table for one more annotator, named after them", soft_wrap=True
        )
    else:
        names = " ".join(quote(str(table)) for table in (*tables, written))
        print_written(written, f"{photos} for one more annotator to fill in", console=err)
        files = f"--out {_new_name('manifest')} --votes {_new_name('joined')}"
        line = f"next: once it is filled in: maskfit data majority {names}{options} {files}"
        err.print(line, markup=False, soft_wrap=True)


def _new_name(stem: str) -> str:
    """A file name in the current folder that is not taken."""
    names = (f"{stem}{'' if number == 1 else number}.csv" for number in count(1))
    return next(name for name in names if not Path(name).exists())


def _has_annotators(table: Path) -> bool:
    """Whether a table names the annotator of each vote, so that it can be joined with a further one."""
    from maskfit.file_io import iter_csv
    from maskfit.training.soft_labels import find_annotator_column

    return bool(find_annotator_column(next(iter_csv(table, []), {})))


def _join(
    tables: list[Path], joined: Path | None, target: Path, images: Path | None, labels: LabelSchema, force: bool
) -> Path:
    """Writes the votes of several tables into one."""
    from maskfit.training.annotator_tables import join_annotator_tables

    if joined is None:
        raise DataError(
            f"{len(tables)} tables of annotators are joined into one, which training takes too",
            hint="name the file for it: --votes joined.csv",
        )
    if joined.resolve() == target.resolve():
        raise DataError("--votes and --out are the same file", location=joined, hint="choose two files")
    check_overwrite(joined, force, inputs_checked=True)
    return join_annotator_tables(tables, labels, joined, images)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
