"""Values of `trainer.monitor`, in recipes and by themselves."""

from __future__ import annotations

import pytest

from maskfit.config.loader import read_recipe
from maskfit.config.monitor import Monitor, monitor_names, parse_monitor
from maskfit.errors import RecipeError

ATTRIBUTES = ("mask", "gender", "age")


@pytest.mark.parametrize(
    ("name", "monitor"),
    [
        ("macro_f1", Monitor("valid_macro_f1", "max")),
        ("valid_macro_f1", Monitor("valid_macro_f1", "max")),
        ("accuracy", Monitor("valid_accuracy", "max")),
        ("val_loss", Monitor("valid_loss", "min")),
        ("loss", Monitor("valid_loss", "min")),
        ("age_f1", Monitor("valid_age_f1", "max")),
        ("off", None),
    ],
)
def test_each_metric_has_its_direction(name, monitor):
    assert parse_monitor(name, ATTRIBUTES) == monitor


def test_every_listed_name_is_read():
    for name in monitor_names(ATTRIBUTES):
        monitor = parse_monitor(name, ATTRIBUTES)
        assert (monitor is None) == (name == "off")


def test_a_smaller_loss_is_better():
    assert Monitor("valid_loss", "min").sort_value(0.1) > Monitor("valid_loss", "min").sort_value(0.2)
    assert Monitor("valid_macro_f1", "max").sort_value(0.1) < Monitor("valid_macro_f1", "max").sort_value(0.2)


@pytest.mark.parametrize("text", ["off", "'off'", "false"])
def test_a_recipe_may_say_off(text):
    assert read_recipe("baseline", [f"trainer.monitor={text}"]).trainer.monitor == "off"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["trainer.monitor=f1"], "trainer.monitor: there is no metric 'f1'"),
        (["trainer.monitor=hat_f1"], "there is no metric 'hat_f1'"),
        (["trainer.monitor=age_f1", "data.label_schema=mask"], "there is no metric 'age_f1'"),
        (["trainer.monitor=off", "trainer.early_stopping_patience=3"], "early_stopping_patience needs a metric"),
        (["trainer.monitor=off", "lr_scheduler=reduce_on_plateau"], "reduce_on_plateau needs a metric"),
    ],
)
def test_a_metric_that_does_not_exist_is_refused_before_training(overrides, expected):
    with pytest.raises(RecipeError) as caught:
        read_recipe("baseline", overrides)
    assert expected in str(caught.value)
