"""Members of a part each answer together as one model of all of it would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.errors import ModelFileError
from maskfit.inference.ensemble.voting import VOTES, combine
from maskfit.inference.ensemble_runner import compose_members
from maskfit.inference.predictor import Predictor
from maskfit.labels.schema import LABEL_SCHEMAS, Attribute, LabelSchema
from maskfit.model_file import ModelMetadata, save_model
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

FULL = LABEL_SCHEMAS["mask-gender-age"]


def write_part(path: Path, scheme: LabelSchema, seed: int = 0, size: int = 24) -> Path:
    """A model of random weights for a scheme."""
    import torch

    torch.manual_seed(seed)
    facts = ModelMetadata(
        label_schema=scheme,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(size, size))),
        backbone=ComponentSpec.create("small", width=4),
        head=ComponentSpec.create("multi_head"),
        heads=scheme.names,
    )
    network = build_network(facts.backbone, facts.head, scheme.sizes)
    for layer in network.head.modules():
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=3)
    return save_model(path, network.state_dict(), facts)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parts")
    schemes = {name: LABEL_SCHEMAS[name] for name in ("mask", "gender", "age", "gender-age", "mask-gender")}
    schemes["age-gender"] = LabelSchema(attributes=(FULL["age"], FULL["gender"]))
    return {
        name: write_part(folder / f"{name}.safetensors", scheme, seed, 24 + 8 * (seed % 2))
        for seed, (name, scheme) in enumerate(schemes.items())
    }


def random(classes: int, seed: int, photos: int = 5) -> np.ndarray:
    found = np.random.default_rng(seed).uniform(size=(photos, classes))
    return found / found.sum(axis=1, keepdims=True)


def slow_product(tables: dict[str, np.ndarray]) -> np.ndarray:
    """Class by class, the product of what each attribute's table gives its value."""
    found = np.zeros((len(tables["mask"]), 18))
    for number, codes in enumerate(FULL.to_attribute_indices(np.arange(18))):
        found[:, number] = np.prod(
            [tables[name][:, code] for name, code in zip(FULL.names, codes, strict=True)], axis=0
        )
    return found


# On tables


@pytest.mark.parametrize("order", [("mask", "gender", "age"), ("age", "mask", "gender"), ("gender", "age", "mask")])
def test_three_attributes_are_multiplied_in_the_schemes_order(order):
    tables = {name: random(FULL.sizes[name], seed) for seed, name in enumerate(FULL.names)}
    joining = compose_members([LABEL_SCHEMAS[name] for name in order])
    assert joining is not None
    assert joining.schema == FULL
    np.testing.assert_allclose(joining.vote("arithmetic", [tables[name] for name in order]), slow_product(tables))


def test_a_part_may_have_several_attributes_in_any_order():
    turned = LabelSchema(attributes=(FULL["age"], FULL["gender"]))
    table, mask = random(6, 0), random(3, 1)
    joining = compose_members([turned, LABEL_SCHEMAS["mask"]])
    assert joining is not None
    assert joining.schema.names == FULL.names
    found = joining.vote("arithmetic", [table, mask])
    for number, (a, b, c) in enumerate(FULL.to_attribute_indices(np.arange(18))):
        np.testing.assert_allclose(found[:, number], mask[:, a] * table[:, c * 2 + b])
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("name", [name for name in VOTES if name != "weighted"])
def test_members_of_one_part_vote_before_they_are_joined(name):
    first, second, gender, age = random(3, 0), random(3, 1), random(2, 2), random(3, 3)
    joining = compose_members([LABEL_SCHEMAS[item] for item in ("mask", "gender", "mask", "age")])
    assert joining is not None
    assert joining.groups == ((0, 2), (1,), (3,))
    tables = {
        "mask": combine(name, [first, second], schema=LABEL_SCHEMAS["mask"]),
        "gender": combine(name, [gender], schema=LABEL_SCHEMAS["gender"]),
        "age": combine(name, [age], schema=LABEL_SCHEMAS["age"]),
    }
    np.testing.assert_allclose(joining.vote(name, [first, gender, second, age]), slow_product(tables))


def test_members_of_one_question_vote_as_ever():
    tables = [random(18, 0), random(18, 1)]
    joining = compose_members([FULL, FULL])
    assert joining is not None
    assert np.array_equal(joining.vote("geometric", tables), combine("geometric", tables))


GLASSES = Attribute(name="mask", values=("with", "without", "other"))


@pytest.mark.parametrize(
    "schemes",
    [
        # Together no scheme; the same attribute twice; other values; one that covers all beside a part.
        ["mask", "age"],
        ["mask-gender", "gender-age"],
        [LabelSchema(attributes=(GLASSES,)), "gender", "age"],
        ["mask-gender-age", "mask"],
        ["mask", LabelSchema(attributes=(GLASSES,))],
    ],
)
def test_what_is_no_scheme_together_is_not_joined(schemes):
    assert compose_members([LABEL_SCHEMAS[item] if isinstance(item, str) else item for item in schemes]) is None


# On photos


def test_three_models_answer_as_their_product(parts, photos):
    names = ("age", "mask", "gender")
    predictor = Predictor.load(*(parts[name] for name in names))
    assert predictor.schema == FULL
    found = predictor.predict(photos)
    each = {name: Predictor.load(parts[name]).predict(photos).table.probabilities for name in names}
    np.testing.assert_allclose(found.table.probabilities, slow_product(each), atol=1e-6)
    assert [table.shape[1] for table in found.members.values()] == [3, 3, 2]
    # What is said of each photo is said of all three attributes.
    assert all(answer.count(", ") == 2 for _, answer, _ in found)


def test_two_models_of_parts_answer_too(parts, photos):
    found = Predictor.load(parts["age-gender"], parts["mask"]).predict(photos[:3])
    pair = Predictor.load(parts["age-gender"]).predict(photos[:3])
    marginals = FULL.marginals(found.table.probabilities)
    np.testing.assert_allclose(marginals["age"], pair.schema.marginals(pair.table.probabilities)["age"], atol=1e-6)


def test_models_that_make_no_scheme_are_told_what_would(parts):
    with pytest.raises(ModelFileError, match=r"predicts age \(3\)") as caught:
        Predictor.load(parts["mask"], parts["age"])
    assert "together make one of mask-gender-age" in str(caught.value)
    with pytest.raises(ModelFileError, match="predicts gender"):
        Predictor.load(parts["mask-gender"], parts["gender-age"])
