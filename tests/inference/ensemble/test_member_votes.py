"""Every member and view of runs: predicted once, kept by content, and every vote over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.errors import DataError, MaskfitError, RecipeError
from maskfit.evaluation.metrics import ClassCounts
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.inference.ensemble import member_tables
from maskfit.inference.ensemble.comparison import parse_votes
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.inference.ensemble.member_tables import load_member_tables
from maskfit.inference.ensemble.member_votes import (
    fold_scores,
    gather_voters,
    held_out_slots,
    member_curves,
    vote_on_photos,
    write_members,
)
from maskfit.inference.ensemble.voting import combine
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS

from ..conftest import draw, make_model

FULL = LABEL_SCHEMAS["mask-gender-age"]


def write_photos(folder: Path, persons: int) -> Path:
    """The competition's layout, two photos a person."""
    for person in range(persons):
        gender, age = ("male", "female")[person % 2], (25, 45, 60)[person % 3]
        home = folder / f"{person:06d}_{gender}_Asian_{age}"
        home.mkdir(parents=True)
        for number, name in enumerate(("mask1", "normal")):
            draw(10 * person + number, 24, 32).save(home / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two folds that keeps two models in each, its photos, and photos to predict."""
    root = tmp_path_factory.mktemp("run")
    photos = write_photos(root / "photos", 6)
    run = root / "run"
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    truth = np.array([FULL.to_class_index(FULL.encode_batch([_labels(name)]))[0] for name in names])
    (run / "fold0").mkdir(parents=True)
    (run / "fold1").mkdir()
    (run / "recipe.yaml").write_text(f"name: made\ndata:\n  path: {photos}\n")
    for fold in range(2):
        own = [index for index in range(len(names)) if (index // 2) % 2 == fold]
        for rank, name in enumerate(("best.safetensors", "epoch001.safetensors")):
            scores = {"valid_macro_f1": 0.1 * (1 + fold + 2 * rank)}
            make_model(run / f"fold{fold}" / name, seed=10 * fold + rank, scores=scores)
        (run / f"fold{fold}" / "models.json").write_text(
            '[{"file": "best.safetensors"}, {"file": "epoch001.safetensors"}]'
        )
        (run / f"fold{fold}" / "scores.json").write_text("{}")
        uniform = np.full((len(own), 18), 1 / 18)
        ProbabilityTable(tuple(names[index] for index in own), uniform, truth[own]).write(
            run / f"fold{fold}" / "probabilities.csv"
        )
    (run / "splits.csv").write_text(
        "person,fold\n"
        + "".join(f"{Path(name).parent},{(index // 2) % 2}\n" for index, name in enumerate(names) if not index % 2)
    )
    (root / "eval").mkdir()
    for number in range(5):
        draw(900 + number, 24, 32).save(root / "eval" / f"{number}.png")
    return root


def _labels(name: str) -> dict[str, str | float]:
    _, gender, _, age = Path(name).parent.name.split("_")
    return {"mask": "wear" if "mask1" in name else "not_wear", "gender": gender, "age": float(age)}


def listed(made: Path):
    from maskfit.data.image_lists import ImageFolder

    return list(ImageFolder(made / "eval"))


@pytest.fixture
def tables(made: Path, tmp_path: Path):
    return load_member_tables([made / "run"], tmp_path / "members", top_k=2, tta="crops:n=2", photos=listed(made))


def test_a_table_for_every_member_and_view(made: Path, tables, tmp_path: Path) -> None:
    assert [member.name.removeprefix(str(made / "run")) for member in tables.held_out] == [
        f" top{rank} view{view} fold{fold}" for fold in (0, 1) for rank in (1, 2) for view in (1, 2)
    ]
    assert set(tables.held_out) == set(tables.predicted)
    assert {len(table) for table in tables.predicted.values()} == {5}
    assert len(list((tmp_path / "members").glob("*.csv"))) == 16
    # The mean of a model's views is what the model predicts with both.
    for model in {member.model for member in tables.predicted}:
        found = np.mean([t.probabilities for m, t in tables.predicted.items() if m.model == model], axis=0)
        whole = Predictor.load(model, tta="crops:n=2").predict(listed(made)).table.probabilities
        assert found == pytest.approx(whole, abs=1e-5)
    # Held-out photos are predicted by the fold that held them out.
    fold = next(member for member in tables.held_out if member.fold == 1)
    assert all(int(name[:6]) % 2 == 1 for name in tables.held_out[fold].names)


def test_tables_are_kept_by_content(made: Path, tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = member_tables._predict_views

    def count(models, *rest):
        calls.append(sorted(path.parent.name + path.name for path in models))
        return real(models, *rest)

    monkeypatch.setattr(member_tables, "_predict_views", count)
    again = load_member_tables([made / "run"], tmp_path / "members", top_k=2, tta="crops:n=2", photos=listed(made))
    assert calls == []
    assert again.num_reused == 16
    assert all((again.held_out[m].probabilities == tables.held_out[m].probabilities).all() for m in tables.held_out)
    # Another view, or a photo with other pixels, is predicted; what stayed is not.
    load_member_tables([made / "run"], tmp_path / "members", top_k=1, tta="crops:n=2,seed=1")
    assert calls == [["fold0best.safetensors"], ["fold1best.safetensors"]]
    calls.clear()
    photo = made / "eval" / "0.png"
    before = photo.read_bytes()
    Image.new("RGB", (24, 32)).save(photo)
    try:
        changed = load_member_tables(
            [made / "run"], tmp_path / "members", top_k=2, tta="crops:n=2", photos=listed(made)
        )
    finally:
        photo.write_bytes(before)
    assert len(calls) == 1
    assert changed.num_reused == 8


def cut(lines: list[str]) -> list[str]:
    return lines[:4]


def turn_round(lines: list[str]) -> list[str]:
    return [lines[0], *reversed(lines[1:])]


def empty(lines: list[str]) -> list[str]:
    return []


@pytest.mark.parametrize("kind", ["held-out", "predicted"])
@pytest.mark.parametrize("damage", [cut, turn_round, empty])
def test_a_table_of_other_rows_is_predicted_again(made: Path, tables, tmp_path: Path, damage, kind: str) -> None:
    path = next(file for (_, of), file in tables.files.items() if of == kind)
    whole = path.read_text()
    path.write_text("".join(damage(whole.splitlines(keepends=True))))
    lines: list[str] = []
    again = load_member_tables(
        [made / "run"], tmp_path / "members", top_k=2, tta="crops:n=2", photos=listed(made), log=lines.append
    )
    assert path.read_text() == whole
    # The other view of this model is predicted with it.
    assert again.num_reused == 14
    (line,) = [line for line in lines if "again" in line]
    assert str(path) in line


def test_tables_of_another_engine_are_not_used(made: Path, tmp_path: Path) -> None:
    def load(engine: str) -> int:
        return load_member_tables([made / "run"], tmp_path / "members", engine=engine).num_reused

    assert [load(engine) for engine in ("torch", "torch", "auto", "torch:precision=checked", "auto")] == [0, 2, 0, 0, 2]
    for engine in ("nonsense", "torch:nonsense=1", "auto:precision=f32"):
        with pytest.raises(RecipeError, match=r"nonsense|engine 'auto'"):
            load(engine)


def test_every_vote_over_all_members(made: Path, tables) -> None:
    scores, slots = fold_scores(tables), held_out_slots(tables)
    assert len(slots.names) == 4
    assert len(slots.photos) == 12
    assert slots.persons is not None
    member = next(iter(tables.held_out))
    own = tables.held_out[member]
    counts = [
        np.array([((own.predictions == c) & (own.truth == c)).sum() for c in range(18)], dtype=float),
        np.bincount(own.truth, minlength=18).astype(float),
        np.bincount(own.predictions, minlength=18).astype(float),
    ]
    assert scores[member] == pytest.approx(float(ClassCounts(*counts).macro_f1()))
    voters = gather_voters(tables, scores)
    votes, _ = parse_votes(["arithmetic", "geometric", "weighted", "majority", "majority_per_attribute", "greedy"])
    found = vote_on_photos(voters, slots, votes)
    members = [table.probabilities for table in tables.predicted.values()]
    for name in ("arithmetic", "geometric", "majority", "majority_per_attribute"):
        assert found[name].probabilities == pytest.approx(combine(name, members, schema=FULL))
    weights = [scores[item] for item in tables.predicted]
    weights = weights if sum(weights) else [1.0] * len(weights)
    assert found["weighted"].probabilities == pytest.approx(combine("weighted", members, weights=weights))
    assert set(found) == set(votes)


def test_a_fitted_vote_weights_slots_by_the_mean_of_their_folds(tables) -> None:
    scores, slots = fold_scores(tables), held_out_slots(tables)
    voters = gather_voters(tables, scores)
    votes, _ = parse_votes(["greedy"])
    weights = votes["greedy"].fit(slots.members, slots.truth, FULL).weights
    means = [voters.tables[list(voters.slots[name])].mean(axis=0) for name in slots.names]
    expected = np.tensordot(np.array(weights), np.stack(means), axes=1)
    assert vote_on_photos(voters, slots, votes)["greedy"].probabilities == pytest.approx(expected)


def test_submissions_of_others_vote_as_hard_votes(tables, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("ImageID,ans\n" + "".join(f"{number}.png,{number}\n" for number in reversed(range(5))))
    scores = fold_scores(tables)
    voters = gather_voters(tables, scores, [other])
    assert voters.names[-1] == str(other)
    assert voters.tables[-1].argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
    assert voters.tables[-1].max(axis=1).tolist() == [1] * 5
    assert voters.weights[-1] == pytest.approx(voters.weights[:-1].mean())
    short = tmp_path / "short.csv"
    short.write_text("ImageID,ans\n0.png,1\n")
    with pytest.raises(DataError, match="members of different photos"):
        gather_voters(tables, scores, [short])


def test_stored_tables_and_submissions_combine(tmp_path: Path) -> None:
    table = ProbabilityTable(("a.jpg", "b.jpg"), np.array([[0.6, 0.4, 0.0], [0.1, 0.1, 0.8]]))
    table.write(tmp_path / "p.csv")
    (tmp_path / "s.csv").write_text("ImageID,ans\nb.jpg,0\na.jpg,1\n")
    schema = LABEL_SCHEMAS["mask"]
    found = load_aligned_tables([tmp_path / "s.csv", tmp_path / "p.csv"], schema)
    assert found.photos == ("b.jpg", "a.jpg")
    assert found.members[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    (tmp_path / "bad.csv").write_text("ImageID,ans\nb.jpg,7\na.jpg,1\n")
    with pytest.raises(DataError, match="ans 7 is not in 0 to 2"):
        load_aligned_tables([tmp_path / "p.csv", tmp_path / "bad.csv"], schema)


def test_curves_and_the_list_of_members(tables, tmp_path: Path) -> None:
    scores, slots = fold_scores(tables), held_out_slots(tables)
    curves = member_curves(tables, slots, gather_voters(tables, scores), folds=2)
    assert curves["held-out"].sizes == (8, 7, 6, 5, 4, 3, 2)
    assert curves["predicted"].sizes[-1] == 1
    rows = write_members(tmp_path / "members.csv", tables, scores).read_text().splitlines()
    assert len(rows) == 9
    assert rows[1].split(",")[2:5] == ["0", "1", "1"]


def test_predict_weights_members_by_their_validation_score(made: Path, tables) -> None:
    found = Predictor.load(made / "run", top_k=2, vote="weighted").predict(listed(made))
    names = list(found.members)
    weights = [{"fold0": 0.1, "fold1": 0.2}[Path(name).parent.name] + (0.2 if "epoch" in name else 0) for name in names]
    expected = combine("weighted", [found.members[name] for name in names], weights=weights)
    assert found.table.probabilities == pytest.approx(expected)


def test_predict_refuses_weights_that_no_model_has(models: dict[str, Path]) -> None:
    with pytest.raises(Exception, match="no macro F1 on held-out persons"):
        Predictor.load(models["attributes"], models["sibling"], vote="weighted")


def test_predict_says_that_a_validation_score_is_zero(tmp_path: Path) -> None:
    paths = [make_model(tmp_path / f"{n}.safetensors", seed=n, scores={"valid_macro_f1": 0.5 * n}) for n in range(2)]
    with pytest.raises(MaskfitError, match="macro F1 of this model on held-out persons is 0, which") as caught:
        Predictor.load(*paths, vote="weighted")
    assert "0.safetensors" in str(caught.value.location)
