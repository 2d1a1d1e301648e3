"""One contract for every head, and what each is for."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from maskfit.data.preprocessing import CropResize, Preprocessing
from maskfit.errors import RecipeError
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, logits_to_probabilities, softmax
from maskfit.model_file import ModelMetadata, load_model, save_model
from maskfit.models.attention_heads import SelfAttention
from maskfit.models.heads import HEADS
from maskfit.models.network import build_network
from maskfit.models.ordinal_head import CumulativeLink
from maskfit.registry import ComponentSpec, instantiate

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
SIZES = SCHEMA.sizes
CHOICES = [(name, {}) for name in HEADS] + [
    ("mlp_1", {"joint": False}),
    ("bn_dropout_linear", {"joint": False}),
    ("multi_sample", {"joint": True}),
    ("mlp", {"widths": [7]}),
    ("mlp", {"widths": []}),
    ("ordinal", {"ordered": ["mask", "age"]}),
]
WITH_INIT = ["multi_head", "single_head", "mlp_1", "bn_dropout_linear", "multi_sample", "mlp", "ordinal"]
every_head = pytest.mark.parametrize(("name", "options"), CHOICES, ids=str)


def make(name: str, features: int = 32, sizes: dict[str, int] = SIZES, **options: object) -> nn.Module:
    torch.manual_seed(0)
    return instantiate(HEADS, ComponentSpec.create(name, **options), features=features, sizes=sizes)


def draw(batch: int = 6, features: int = 32) -> torch.Tensor:
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(2))


def joined(logits: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat(list(logits.values()), dim=1)


@every_head
def test_a_head_answers_for_its_names_in_order(name, options):
    head = make(name, **options)
    logits = head(draw())
    assert tuple(logits) == head.names
    assert head.names in ((JOINT_HEAD,), SCHEMA.names)
    widths = {JOINT_HEAD: 18} | SIZES
    assert [values.shape for values in logits.values()] == [(6, widths[item]) for item in head.names]
    joined(logits).square().sum().backward()
    assert all(item.grad is not None and item.grad.isfinite().all() for item in head.parameters())
    # The class numbers of the answer are the label schema's.
    found = logits_to_probabilities(SCHEMA, {item: values.detach().numpy() for item, values in logits.items()})
    np.testing.assert_allclose(found.sum(axis=1), 1)


@every_head
def test_a_head_gives_raw_logits(name, options):
    """A softmax before cross-entropy was an error of a source project: no row may hold probabilities already."""
    for values in make(name, **options).eval()(draw()).values():
        assert ((values.sum(dim=1) - 1).abs() > 1e-3).all()


@every_head
def test_half_precision_gives_nearly_the_same(name, options):
    head = make(name, **options).eval()
    expected = joined(head(draw()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = joined(head(draw()))
    assert found.isfinite().all()
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.1)


@every_head
def test_a_head_learns(name, options):
    head = make(name, **options)
    features = draw(18)
    codes = torch.tensor(SCHEMA.to_attribute_indices(np.arange(18)))
    targets = {JOINT_HEAD: torch.arange(18)} | {item: codes[:, index] for index, item in enumerate(SCHEMA.names)}
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = sum(F.cross_entropy(values, targets[item]) for item, values in head(features).items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * losses[0]


@every_head
def test_a_head_survives_a_model_file(name, options, tmp_path):
    part = ComponentSpec.create(name, **options)
    torch.manual_seed(4)
    network = build_network(ComponentSpec.create("small", width=4), part, SIZES).eval()
    metadata = ModelMetadata(
        label_schema=SCHEMA,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(24, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=part,
        heads=network.heads,
    )
    again, _ = load_model(save_model(tmp_path / "a.safetensors", network.state_dict(), metadata))
    photos = torch.randn(2, 3, 24, 24)
    for item, values in network(photos).items():
        torch.testing.assert_close(again(photos)[item], values)


@pytest.mark.slow
@every_head
def test_a_head_goes_into_an_exported_file(name, options, tmp_path):
    """The export itself tries that torch and ONNX Runtime answer the same."""
    from maskfit.inference.export import export_onnx

    part = ComponentSpec.create(name, **options)
    network = build_network(ComponentSpec.create("small", width=4), part, SIZES).eval()
    metadata = ModelMetadata(
        label_schema=SCHEMA,
        preprocessing=Preprocessing(crop_resize=CropResize(size=(24, 24))),
        backbone=ComponentSpec.create("small", width=4),
        head=part,
        heads=network.heads,
    )
    model = save_model(tmp_path / "a.safetensors", network.state_dict(), metadata)
    assert export_onnx(model, tmp_path / "a.onnx").max_difference < 1e-5


@pytest.mark.parametrize("name", HEADS)
def test_dropout_is_for_training_only(name):
    head = make(name, dropout=0.5)
    # BatchNorm keeps what it saw; only dropout may differ between two looks in training.
    trained = [joined(head(draw())) for _ in range(2)]
    assert not torch.equal(*trained)
    head.eval()
    assert torch.equal(*[joined(head(draw())) for _ in range(2)])


@pytest.mark.parametrize("name", HEADS)
def test_unknown_options_are_refused(name):
    with pytest.raises(RecipeError, match="has no option 'colour'"):
        make(name, colour=1)
    with pytest.raises(RecipeError, match="dropout"):
        make(name, dropout=1.5)


def test_a_head_may_answer_for_any_name():
    sizes = {"keys": 2, "a.b": 3, "training": 2}
    for name in HEADS:
        options = {"ordered": ["a.b"]} if name == "ordinal" else {}
        found = {item: values.shape[1] for item, values in make(name, 4, sizes, **options)(draw(3, 4)).items()}
        assert found in (sizes, {JOINT_HEAD: 12})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mlp_1", {"width": 0}),
        ("bn_dropout_linear", {"width": -1}),
        ("mlp", {"widths": [5, 0]}),
        ("multi_sample", {"samples": 0}),
        ("ordinal", {"ordered": ["gender"]}),
        ("ordinal", {"ordered": []}),
        ("ordinal", {"ordered": ["years"]}),
        ("multi_class_thanet", {"heads": 7}),
        ("multi_label_thanet", {"heads": 0}),
        ("single_head", {"init": "he"}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(name, options):
    word = {"width": "the width of a hidden layer", "widths": "the width of a hidden layer"}.get(
        next(iter(options)), next(iter(options))
    )
    with pytest.raises(RecipeError, match=word):
        make(name, **options)


# How layers start


@pytest.mark.parametrize("name", WITH_INIT)
def test_linear_layers_are_initialized_by_name(name):
    plain, xavier = make(name), make(name, init="xavier")
    layers = [item for item in xavier.modules() if isinstance(item, nn.Linear)]
    assert layers
    for layer in layers:
        assert (layer.bias == 0).all()
        bound = math.sqrt(6 / (layer.in_features + layer.out_features))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.35)
    assert any((item.bias != 0).any() for item in plain.modules() if isinstance(item, nn.Linear))


# Shapes of the source projects' heads


def test_the_seeds_heads_have_their_layers():
    def shapes(name: str, **options: object) -> list[tuple[int, ...]]:
        return [tuple(item.weight.shape) for item in make(name, **options).modules() if isinstance(item, nn.Linear)]

    assert shapes("mlp_1") == [(512, 32), (18, 512)]
    assert shapes("bn_dropout_linear") == [(1000, 32), (18, 1000)]
    assert shapes("mlp") == [
        (500, 32),
        (100, 500),
        (3, 100),
        (500, 32),
        (100, 500),
        (2, 100),
        (500, 32),
        (100, 500),
        (3, 100),
    ]
    assert shapes("thanet") == [(3, 32), (2, 32), (3, 32), (18, 32)]
    assert [type(item).__name__ for item in make("bn_dropout_linear").body] == [
        "Linear",
        "BatchNorm1d",
        "Dropout",
        "ReLU",
    ]
    assert [item.p for item in make("mlp_1").modules() if isinstance(item, nn.Dropout)] == [0.7]


def test_multi_sample_is_the_mean_of_its_samples_logits():
    head = make("multi_sample", samples=4, joint=True)
    torch.manual_seed(7)
    found = head(draw())[JOINT_HEAD]
    torch.manual_seed(7)
    each = [head.layers[0](F.dropout(draw(), 0.5)) for _ in range(4)]
    torch.testing.assert_close(found, sum(each) / 4)


def test_thanets_four_heads_answer_together():
    head = make("thanet")
    found = head(draw())[JOINT_HEAD]
    own, each = head.joint(draw())[JOINT_HEAD], head.attributes(draw())
    for number, (mask, gender, age) in enumerate(SCHEMA.to_attribute_indices(np.arange(18))):
        expected = own[:, number] + each["mask"][:, mask] + each["gender"][:, gender] + each["age"][:, age]
        torch.testing.assert_close(found[:, number], expected)


# Attention


def tokens(count: int = 3, width: int = 16) -> torch.Tensor:
    return torch.randn(5, count, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_attention_is_torchs_with_the_same_weights(heads):
    attention = SelfAttention(16, heads)
    other = nn.MultiheadAttention(16, heads, batch_first=True)
    with torch.no_grad():
        other.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key.weight, attention.value.weight]))
        other.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key.bias, attention.value.bias]))
        other.out_proj.weight.copy_(torch.eye(16))
        other.out_proj.bias.zero_()
    torch.testing.assert_close(attention(tokens()), other(tokens(), tokens(), tokens())[0])


def test_attention_equals_a_slow_loop_with_its_heads_in_order():
    attention = SelfAttention(16, 4)
    query, key, value = (layer(tokens()).tolist() for layer in (attention.query, attention.key, attention.value))
    expected = np.zeros((5, 3, 16))
    for photo in range(5):
        for token in range(3):
            for head in range(4):
                own = range(4 * head, 4 * head + 4)
                scores = [
                    # By the root of one head's width, which is 4, not of all heads' 16.
                    sum(query[photo][token][index] * key[photo][other][index] for index in own) / math.sqrt(4)
                    for other in range(3)
                ]
                for other, fraction in enumerate(softmax(np.array(scores))):
                    for index in own:
                        expected[photo, token, index] += fraction * value[photo][other][index]
    np.testing.assert_allclose(attention(tokens()).detach(), expected, atol=1e-5)


def test_attention_has_no_order_and_tokens_do():
    attention = SelfAttention(16, 4)
    turned = attention(tokens()[:, [2, 0, 1]])
    torch.testing.assert_close(turned, attention(tokens())[:, [2, 0, 1]])


@pytest.mark.parametrize("name", ["multi_class_thanet", "multi_label_thanet"])
def test_thanets_tokens_keep_what_they_were_and_meet_the_others(name):
    head = make(name).eval()
    tokens = head.body.tokens
    assert len(tokens) == 3
    assert {(item.in_features, item.out_features) for item in tokens} == {(32, 64)}
    assert head.body.attention.heads == 8
    before = joined(head(draw()))
    with torch.no_grad():
        head.body.attention.value.weight.zero_()
        head.body.attention.value.bias.zero_()
    # Without anything found at the others a token is what it was: the residual alone.
    alone = [layer(item(head.body.stem(draw()))) for layer, item in zip(head.body.outputs, tokens, strict=True)]
    expected = head.joint(torch.cat(alone, dim=1)) if name == "multi_class_thanet" else torch.cat(alone, dim=1)
    torch.testing.assert_close(joined(head(draw())), expected)
    assert not torch.allclose(before, expected)


# Order


@pytest.mark.parametrize("values", [3, 4, 7])
def test_thresholds_give_probabilities_that_a_softmax_gives_back(values):
    thresholds = CumulativeLink(values)
    even = thresholds(torch.zeros(1, 1)).exp()
    torch.testing.assert_close(even, torch.full((1, values), 1 / values))
    with torch.no_grad():
        thresholds.gaps.add_(torch.randn(values - 2))
    logits = thresholds(torch.linspace(-40, 40, 81)[:, None])
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(81))
    torch.testing.assert_close(torch.softmax(logits, dim=1), logits.exp())
    # A greater place is never a smaller value, and each value has its turn.
    assert (logits.argmax(dim=1).diff() >= 0).all()
    assert logits[0].argmax() == 0
    assert logits[-1].argmax() == values - 1


def test_thresholds_equal_differences_of_sigmoids():
    thresholds = CumulativeLink(4)
    edges = [math.log(1 / 3), 0.0, math.log(3)]
    for index in (-2.0, 0.3, 1.7):
        above = [1.0, *(1 / (1 + math.exp(-(index - edge))) for edge in edges), 0.0]
        expected = [before - after for before, after in pairwise(above)]
        np.testing.assert_allclose(thresholds(torch.tensor([[index]])).exp()[0].detach(), expected, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"ordered": "age"}, {"ordered": ["age"]}], ids=str)
def test_only_what_has_an_order_is_ordinal(options):
    head = make("ordinal", **options)
    kinds = {item: layer[-1].__class__.__name__ for item, layer in zip(head.names, head.layers, strict=True)}
    assert kinds == {"mask": "Linear", "gender": "Linear", "age": "CumulativeLink"}
