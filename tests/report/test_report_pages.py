"""Report pages: well-formed, self-contained, escaped, with the same numbers as `--json`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.calibration import Calibration
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable, read_table
from maskfit.file_io import write_csv
from maskfit.labels.attribute import Attribute
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, LabelSchema
from maskfit.report import summary_text
from maskfit.report.build_report import compute_statistics, write_report
from maskfit.report.calibration_sections import calibration_values
from maskfit.report.run_comparison import compare
from maskfit.report.run_data import load_run_data
from maskfit.report.run_page import summary_points
from maskfit.report.run_statistics import describe
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]
EVIL = "<script>alert(1)</script>"


def write(tmp_path, runs, **options):
    statistics = compute_statistics(runs, draws=40, **options)
    return statistics, write_report(tmp_path / "page.html", statistics).read_text(encoding="utf-8")


def assert_self_contained(text, page):
    """Nothing is loaded, nothing runs, every link stays on the page, no number is NaN or infinite."""
    assert {"script", "link", "iframe", "object", "form"}.isdisjoint(tag for tag, _ in page.tags)
    for word in ("http:", "https:", "@import", "url("):
        assert word not in text
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in page.tags if tag == "img")
    anchors = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"].removeprefix("#") for tag, attrs in page.tags if tag == "a"} <= anchors
    assert not re.search(r"\bnan\b|\binf\b|None", page.text)
    assert not re.search(r'="[^"]*\b(nan|inf)\b', text)
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert any("default-src 'none'" in (attrs.get("content") or "") for _, attrs in page.tags)


def test_the_page_shows_the_statistics(make_run, tmp_path, parsed):
    statistics, text = write(tmp_path, [make_run(folds=3, description="made by hand")])
    page = parsed(text)
    assert_self_contained(text, page)
    around = statistics.scores.intervals["macro_f1"]
    calibration = statistics.calibration["age"]
    for number in (
        f"{statistics.scores.macro_f1:.3f}",
        f"{around.low:.3f} to {around.high:.3f}",
        "140 photos of 20 persons",
        f"{statistics.accuracy[JOINT_HEAD].photos.value:.1%}",
        f"{statistics.accuracy['age'].photos.value:.1%}",
        *(f"{item.f1:.3f}" for item in statistics.scores.per_class if item.support or item.predicted),
        *(f"{item.macro_f1:.3f}" for item in statistics.per_fold.values()),
        f"{calibration.temperature:.2f}",
        f"{calibration.before.error:.3f}",
        f"{calibration.after.error:.3f}",
        f"{statistics.thresholds['gender'].overall_accuracy.value:.3f}",
        "made by hand",
        "12 min",
        "3 folds",
        "Errors by age",
        f"{statistics.slices['mask']['not worn'].accuracy[JOINT_HEAD].value:.3f}",
    ):
        assert number in page.text, number
    titles = " ".join(re.findall(r"<title>([^<]*)</title>", text))
    for years, photos, errors in statistics.ages.rows:
        assert f"{years:g} years: {errors:,} of {photos:,} wrong" in titles
    # One picture of each person with a mistake, all of them readable.
    wrong = compute_statistics([tmp_path / "run"], draws=5).run
    bad = (FULL.to_attribute_indices(wrong.table.predictions) != wrong.truth).any(axis=1)
    assert sum(tag == "img" for tag, _ in page.tags) == min(24, len(set(wrong.persons[bad].tolist())))


def test_the_rows_of_the_confusion_are_those_of_the_figures(make_run, tmp_path):
    statistics, text = write(tmp_path, [make_run()])
    html = text[text.index('<table class="heat many">') :]
    rows = re.findall(r"<tr[^>]*><th scope=row>.*?</tr>", html[: html.index("</table>")])
    found = [[int(cell.replace("·", "0")) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in rows]
    assert found == statistics.confusions[JOINT_HEAD].tolist()


def test_hostile_names_are_text(people, make_run, tmp_path, parsed):
    rows = [
        (
            photo.path,
            f"{EVIL} {photo.person}",
            photo.labels["mask"],
            photo.labels["gender"],
            photo.labels["age"],
            f"{EVIL}{k % 2}",
        )
        for k, photo in enumerate(read_photos(people, FULL))
    ]
    source = write_csv(tmp_path / "evil.csv", ("path", "person", "mask", "gender", "age", EVIL), rows)
    runs = [make_run(f"{EVIL.replace('/', '')}{k}", source, description=EVIL, seed=k) for k in range(2)]
    for chosen in (runs[:1], runs):
        _, text = write(tmp_path, chosen, by=[EVIL])
        page = parsed(text)
        assert_self_contained(text, page)
        assert "<script" not in text
        assert "alert(1)" in page.text


def test_hostile_photo_names_persons_and_classes_are_escaped(make_run, tmp_path, parsed):
    """Both pages, with markup in every name that comes from the data."""
    attributes = tuple(
        Attribute(
            name=f"<b>{item.name}",
            values=item.values,
            display_names=tuple(f"{EVIL}{code}" for code in range(len(item.values))),
            bin_edges=item.bin_edges,
        )
        for item in FULL.attributes
    )
    schema = LabelSchema(attributes=attributes)
    runs = []
    for seed, name in enumerate(("first", "second")):
        run = load_run_data(make_run(name, seed=seed))
        table, uncalibrated = (
            ProbabilityTable(tuple(f"{EVIL}_{photo}" for photo in item.names), item.probabilities, item.truth)
            for item in (run.table, run.uncalibrated)
        )
        persons = np.array([f"{EVIL}{person}" for person in run.persons.tolist()])
        runs.append(
            replace(
                run,
                name=f"{EVIL}{name}",
                title=EVIL,
                schema=schema,
                table=table,
                uncalibrated=uncalibrated,
                persons=persons,
                columns={f"<i>{EVIL}": tuple(persons.tolist())},
                settings={EVIL: f"{EVIL}{name}"},
                metadata={EVIL: EVIL},
                warnings=(EVIL,),
            )
        )
    for statistics in (describe(runs[0], draws=5), compare(runs, draws=5)):
        text = write_report(tmp_path / "page.html", statistics).read_text(encoding="utf-8")
        page = parsed(text)
        assert_self_contained(text, page)
        assert "<script" not in text
        assert not {"i", "b"} & {tag for tag, attrs in page.tags if "alert" in str(attrs)}
        for name in (f"{EVIL}_", f"{EVIL}0", "<b>gender"):
            assert name in page.text, name


def test_sections_without_data_are_left_out(make_run, tmp_path, parsed):
    run = make_run(schema=LABEL_SCHEMAS["mask"], key="mask", folds=1)
    (run / "fold0" / "metrics.csv").unlink()
    (run / "environment.json").write_text("broken")
    (run / "scores.json").unlink()
    (run / "splits.csv").unlink()
    _, text = write(tmp_path, [run])
    page = parsed(text)
    assert_self_contained(text, page)
    for title in ("Learning curves", "Scores", "Errors by age", "Confusion matrix"):
        assert f"<h2>{title}</h2>" not in text
    for title in ("Summary", "Confusion matrix of each attribute", "Per-class scores", "Run settings"):
        assert f"<h2>{title}</h2>" in text


def test_classes_without_photos_have_dashes(make_run, people, tmp_path, parsed):
    young = [photo for photo in read_photos(people, FULL) if photo.labels["age"] < 60]
    rows = [(photo.path, photo.person, *(photo.labels[name] for name in FULL.names)) for photo in young]
    run = RunDir(make_run(root=write_csv(tmp_path / "young.csv", ("path", "person", *FULL.names), rows)))
    table = read_table(run.oof_probabilities)
    sure = np.full((len(table), 18), 0.001)
    sure[np.arange(len(table)), table.truth] = 1 - 0.017
    ProbabilityTable(table.names, sure, table.truth).write(run.oof_probabilities)
    statistics, text = write(tmp_path, [run.path])
    assert_self_contained(text, parsed(text))
    assert statistics.scores.macro_f1 == 1
    assert text.count("<td>–</td><td>–</td><td>–</td>") == 6
    assert "No mask errors." in text


def test_differences_are_paired(make_run, tmp_path, parsed):
    first, second = make_run("first", skill=0.5), make_run("second", skill=0.95, seed=1)
    found, text = write(tmp_path, [first, second])
    page = parsed(text)
    assert_self_contained(text, page)
    tables = [read_table(run / "oof_probabilities.csv") for run in (first, second)]
    truth = tables[0].truth
    scores = [macro_f1(truth, table.reindex(tables[0].names).predictions, 18) for table in tables]
    apart = found.differences[0].macro_f1[JOINT_HEAD]
    assert apart.value == pytest.approx(scores[1] - scores[0])
    assert apart.low > 0
    assert f"second is better than first by {apart.value:.3f} in macro F1" in page.text
    right = [table.reindex(tables[0].names).predictions == truth for table in tables]
    agreement = found.differences[0].agreement[JOINT_HEAD]
    assert (agreement.both, agreement.only_first) == ((right[0] & right[1]).sum(), (right[0] & ~right[1]).sum())
    assert sum(agreement.to_dict().values()) == 140
    for index, item in enumerate(found.differences[0].per_class):
        f1 = [statistics.scores.per_class[index].f1 for statistics in found.runs]
        assert item is None or item.value == pytest.approx(f1[1] - f1[0])
    # The same run under another name: the difference is 0, within what the 20 persons would have shown.
    same = compute_statistics([first, make_run("copy", skill=0.5)], draws=20).differences[0].macro_f1[JOINT_HEAD]
    missed = 1 - 0.025 ** (1 / 20)
    assert (same.low, same.value, same.high) == pytest.approx((-missed, 0, missed))


def test_different_labels_are_reported_and_other_photos_left_out(make_run, people, tmp_path):
    rows = [
        (p.path, p.person, p.labels["mask"], "male" if k < 7 else p.labels["gender"], p.labels["age"])
        for k, p in enumerate(read_photos(people, FULL))
        if k < 133
    ]
    source = write_csv(people / "fewer.csv", ("path", "person", *FULL.names), rows)
    try:
        found, text = write(tmp_path, [make_run("whole"), make_run("fewer", source)])
    finally:
        source.unlink()
    assert found.left_out == 7
    assert found.relabeled == (7,)
    assert found.macro_f1_by_labels[0][0] == pytest.approx(found.runs[0].scores.macro_f1)
    assert found.macro_f1_by_labels[0] != found.macro_f1_by_labels[1]
    assert "different labels for up to 7 photos" in text
    assert "data.path" in text


def test_runs_that_cannot_be_compared_are_refused(make_run):
    run = make_run("one")
    with pytest.raises(DataError, match="named twice"):
        compute_statistics([run, run])
    with pytest.raises(DataError, match="the label schemas differ: it predicts mask"):
        compute_statistics([run, make_run("two", schema=LABEL_SCHEMAS["mask"], key="mask")])


def class_folders(root: Path, photos: int = 15) -> Path:
    """Photos in two folders that say the label, `photos` each; nobody says who is on them."""
    for folder, gray in (("with_mask", 50), ("without_mask", 200)):
        (root / folder).mkdir(parents=True)
        for number in range(photos):
            Image.new("L", (24, 32), gray + number).save(root / folder / f"{number}.jpg")
    return root


def test_a_page_says_what_its_scores_are_held_out_from(make_run, tmp_path, parsed):
    """Also of class folders, where each photo counts as a person, and of the best epoch that was chosen on them."""
    named = parsed(write(tmp_path, [make_run("named")])[1]).text
    assert "training photos do not show its person" in named
    assert "The epoch with the best macro_f1 on the held-out persons themselves was kept" in named
    assert "are a little optimistic" in named
    mask = LABEL_SCHEMAS["mask"]
    run = make_run("folders", class_folders(tmp_path / "classes"), schema=mask, key="mask", skill=1.0)
    text = parsed(write(tmp_path, [run])[1]).text
    assert "do not show its person" not in text
    assert "Nobody says who is on the photos, so each photo counts as a person of its own" in text
    assert "copies of its person may have been among the training photos" in text
    # Where all classes are alike, none of them is the weakest.
    assert "All 2 classes with photos have the same F1 (1.00)." in text
    assert "the lowest F1" not in text
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "trainer: {monitor: 'off'}\n")
    assert "a little optimistic" not in parsed(write(tmp_path, [run])[1]).text


def test_a_page_counts_epochs_from_1(make_run, tmp_path, parsed):
    run = make_run("one", folds=1)
    assert "The best epoch is epoch 3, the last one epoch 3" in parsed(write(tmp_path, [run])[1]).text


def test_one_held_out_part_with_a_wide_interval_suggests_folds(make_run, tmp_path, parsed):
    hint = "cv.num_folds=5 holds out every person once"
    assert hint in parsed(write(tmp_path, [make_run("one", folds=1)])[1]).text
    assert hint not in parsed(write(tmp_path, [make_run("two", folds=2)])[1]).text
    options = {"schema": LABEL_SCHEMAS["mask"], "key": "mask", "folds": 1, "skill": 1.0}
    sure = make_run("sure", class_folders(tmp_path / "photos", 40), **options)
    assert hint not in parsed(write(tmp_path, [sure])[1]).text


def test_a_page_names_the_bundled_start(make_run, tmp_path, parsed):
    run = make_run("start")
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text() + "model: {init_from: bundled, pretrained: none}\n")
    text = parsed(write(tmp_path, [run])[1]).text
    assert "backbone of the bundled model" in text
    assert "The bundled model was trained on:" in text
    assert "Scores on photos of these sets are optimistic." in text
    statistics = describe(load_run_data(run), draws=5)
    assert "optimistic" in summary_text.best_epoch(statistics)
    # Beside the headline, not only among the settings at the end.
    points = [sentence for sentence, _ in summary_points(statistics)]
    (place,) = [place for place, sentence in enumerate(points) if sentence.startswith("Training started from the bun")]
    assert place <= 2
    assert not summary_text.bundled_start(describe(load_run_data(make_run("other")), draws=5))


def test_a_page_of_few_persons_without_an_error_does_not_call_abstention_needless(make_run, tmp_path, parsed):
    options = {"schema": LABEL_SCHEMAS["mask"], "key": "mask", "skill": 1.0}
    few = make_run("few", class_folders(tmp_path / "few-photos", 9), **options)
    many = make_run("many", class_folders(tmp_path / "many-photos", 15), **options)
    text = parsed(write(tmp_path, [few])[1]).text
    assert "18 persons are too few to say so of others" in text
    # Nor is a perfect accuracy of 18 persons certain.
    assert "0.815 to 1.000" in text
    text = parsed(write(tmp_path, [many])[1]).text
    assert "no abstention is needed on these photos, all predictions are correct." in text


@pytest.mark.parametrize(
    ("scores", "losses", "end"),
    [
        ([0.5, 0.6, 0.7], [3, 2, 1], "training longer may help."),
        # The best epoch is early, and the loss says otherwise.
        ([0.5, 0.9, 0.7, 0.8, 0.8], [5, 4, 3, 2, 1], "the validation loss still falls: training longer may improve"),
        ([0.5, 0.9, 0.7, 0.8, 0.8], [5, 4, 3, 4, 5], "training longer is unlikely to help."),
        ([0.5, 0.9, 0.7, 0.8, 0.8], [np.nan] * 5, "training longer is unlikely to help."),
    ],
)
def test_whether_training_longer_helps_is_judged_by_the_loss(make_run, scores, losses, end):
    statistics = describe(load_run_data(make_run()), draws=5)
    rows = [
        {"epoch": float(epoch), "valid_macro_f1": score, "valid_loss": float(loss)}
        for epoch, (score, loss) in enumerate(zip(scores, losses, strict=True))
    ]
    run = replace(statistics.run, histories={0: rows})
    assert end in summary_text.curves(replace(statistics, run=run))


def test_a_temperature_at_a_limit_is_named_as_the_console_does(make_run, tmp_path, parsed):
    statistics = describe(load_run_data(make_run()), draws=5)
    fits = {
        name: replace(fit, temperature=0.5 if name == "gender" else 1.0) for name, fit in statistics.calibration.items()
    }
    summary = calibration_values(replace(statistics, calibration=fits))["summary"]
    advice = Calibration(temperatures={"gender": 0.5}, photos=900, persons=90).next_step
    assert f"A temperature is at the limit of the fit; {advice}." in summary
    assert summary_text.temperature_limits({"gender": 0.5}, 3) == [
        "A temperature is at the limit of the fit: 3 persons are too few to fit one."
    ]
    inside = {name: replace(fit, temperature=1.0) for name, fit in fits.items()}
    assert "limit of the fit" not in calibration_values(replace(statistics, calibration=inside))["summary"]


def test_a_threshold_that_does_not_raise_the_accuracy_is_said_to_be_of_no_visible_use(make_run, monkeypatch):
    statistics = describe(load_run_data(make_run()), draws=5)
    (found,) = [item for name, item in statistics.thresholds.items() if name == "gender"]
    overall = replace(found.overall_accuracy, value=0.94)
    for value, useful in ((0.91, False), (0.94, False), (0.97, True)):
        own = replace(found, probability=0.8, accuracy=replace(overall, value=value), overall_accuracy=overall)
        (text,) = summary_text.abstention(replace(statistics, thresholds={"gender": own}))
        assert ("so the threshold has no visible use here" in text) is not useful
        assert "too few" not in text
        monkeypatch.setattr(summary_text, "MIN_RELIABLE_PERSONS", 1000)
        (text,) = summary_text.abstention(replace(statistics, thresholds={"gender": own}))
        assert ("persons are too few to judge it" in text) is not useful
        monkeypatch.undo()
