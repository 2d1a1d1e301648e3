"""The age in years from the narrow bands that a network predicts: a distribution over years, its mean and its interval.

A network that was trained on bands of a few years (`AgeLabelRule.bin_width`) predicts more than the official bands: the
probabilities of its narrow bands, spread over their years, are a distribution of the age (as the expectation over
classes of Rothe et al. 2015, "DEX: Deep EXpectation of apparent age from a single image"). Its sums over the official
bands are scaled to the calibrated probabilities of these bands, so that "12% aged 60 or more" and the band ">=60"
always agree. Any other border can be chosen at prediction.

The first and the last band are open: they are spread up to the youngest and the oldest age of the training photos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError
from maskfit.labels.attribute import Attribute
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema, softmax

MAX_BIN_WIDTH = 10
"""Width in years up to which bands give an age: the official band 30-59 gives none."""

MAX_YEARS = 200
"""Largest range of an attribute's numbers that is split into years."""

QUANTILES = (0.1, 0.5, 0.9)
"""Quantiles of an estimate; the outer ones are the ends of the interval."""

INTERVAL_LEVEL = QUANTILES[-1] - QUANTILES[0]
"""Probability of the interval."""

DEFAULT_AGE_RANGE = (15, 85)
"""Youngest and oldest age of the open bands, where a model file does not say which ages it was trained on."""

MIN_SHARE = 1e-9
"""Probability that every year within the range keeps, so that a band with a probability has years."""


@dataclass(frozen=True)
class AgeEstimate:
    """The estimated age of one face, in years.

    Attributes:
        mean: Mean of the distribution.
        quantiles: The years at `QUANTILES`: low end of the interval, median, high end.
        at_least: Border of the age bands -> probability of this age or more.
    """

    mean: float
    quantiles: tuple[int, ...]
    at_least: dict[float, float]

    def __str__(self) -> str:
        last = max(self.at_least)
        return f"{self.short_text}, {self.at_least[last]:.0%} aged {last:g} or more"

    @property
    def short_text(self) -> str:
        """The median and the interval: "52 (46 to 58)". The median errs by fewer years than the mean."""
        low, median, high = self.quantiles
        return f"{median} ({low} to {high})"

    def to_dict(self) -> dict[str, object]:
        """Converts to JSON types.

        Returns:
            `mean`, the quantiles `q10`, `q50`, `q90` in whole years, and `at_least`: border -> probability.
        """
        quantiles = dict(zip(quantile_names(), self.quantiles, strict=True))
        shares = {f"{border:g}": round(share, 6) for border, share in self.at_least.items()}
        return {"mean": round(self.mean, 2), **quantiles, "at_least": shares}


class AgeTable(NamedTuple):
    """Distributions of ages.

    Attributes:
        first: The year of the first column.
        shares: Probability of each year, (photos, years); rows need not sum to 1 before `fit_bands`.
    """

    first: int
    shares: FloatArray

    @property
    def years(self) -> IntArray:
        """The year of each column, (years,)."""
        return np.arange(self.first, self.first + self.shares.shape[1])

    def select(self, rows: NDArray[np.generic]) -> AgeTable:
        """Selects photos.

        Args:
            rows: Their indices, or a mask.

        Returns:
            Their distributions.
        """
        return AgeTable(self.first, self.shares[rows])

    def pool(self) -> AgeTable:
        """Averages over all photos.

        Returns:
            One distribution.
        """
        return AgeTable(self.first, self.shares.mean(axis=0, keepdims=True))

    def mean(self) -> FloatArray:
        """Computes the mean age of each photo.

        Returns:
            Shape (photos,).
        """
        return np.asarray(self.shares @ self.years / self.shares.sum(axis=1))

    def quantiles(self, levels: Sequence[float] = QUANTILES) -> IntArray:
        """Computes quantiles in whole years.

        Args:
            levels: Levels in (0, 1).

        Returns:
            Shape (photos, levels): the first year by whose end the level is reached.
        """
        sums = np.cumsum(self.shares, axis=1)
        sums /= sums[:, -1:]
        # Rounding must not push a level that is reached exactly to the next year.
        below = sums[:, None, :] < np.asarray(levels)[None, :, None] - 1e-12
        return np.asarray(self.first + below.sum(axis=2))

    def band_sums(self, edges: Sequence[float]) -> FloatArray:
        """Sums the years of each band.

        Args:
            edges: Borders of the bands, ascending whole numbers.

        Returns:
            Shape (photos, bands).
        """
        return np.asarray(self.shares @ _band_matrix(self.years, edges))

    def fit_bands(self, edges: Sequence[float], bands: NDArray[np.floating]) -> AgeTable:
        """Scales the years of each band to the band's probability.

        Args:
            edges: Borders of the bands, ascending whole numbers.
            bands: Probabilities of the bands, (photos, bands).

        Returns:
            Distributions whose sums over the bands are `bands`.
        """
        matrix = _band_matrix(self.years, edges)
        shares = self.shares
        # A band beyond the youngest or oldest age has a probability but no year: it gets the nearest one.
        for band in np.flatnonzero(~(shares @ matrix > 0).all(axis=0)):
            own = np.flatnonzero(matrix[:, band])
            if len(own):
                shares = shares.copy()
                shares[:, own[-1] if band == 0 else own[0]] += MIN_SHARE
        sums = shares @ matrix
        scale = np.divide(bands, sums, out=np.zeros_like(sums), where=sums > 0)
        return AgeTable(self.first, shares * (scale @ matrix.T))

    def estimates(self, edges: Sequence[float]) -> list[AgeEstimate]:
        """Estimates the age of each photo.

        Args:
            edges: Borders of the age bands.

        Returns:
            The estimates.
        """
        above = 1 - np.cumsum(self.band_sums(edges), axis=1)[:, :-1].clip(0, 1)
        rows = zip(self.mean().tolist(), self.quantiles().tolist(), above.tolist(), strict=True)
        return [AgeEstimate(mean, tuple(own), dict(zip(edges, shares, strict=True))) for mean, own, shares in rows]


def concat_ages(tables: Sequence[AgeTable | None]) -> AgeTable | None:
    """Joins the distributions of batches.

    Args:
        tables: Of each batch, all over the same years; a batch without photos may have None.

    Returns:
        Those of all photos; None where there is none.
    """
    known = [table for table in tables if table is not None]
    return AgeTable(known[0].first, np.concatenate([table.shares for table in known])) if known else None


def average_ages(tables: Sequence[AgeTable]) -> AgeTable:
    """Averages the distributions of several models, which may be of different ranges of years.

    Args:
        tables: Of each model, the photos in the same order; at least one.

    Returns:
        The mean, over the years of all; each year keeps a little probability.
    """
    first = min(table.first for table in tables)
    count = max(table.first + table.shares.shape[1] for table in tables) - first
    mean = np.full((len(tables[0].shares), count), MIN_SHARE)
    for table in tables:
        start = table.first - first
        mean[:, start : start + table.shares.shape[1]] += table.shares / len(tables)
    return AgeTable(first, mean)


def quantile_names() -> tuple[str, ...]:
    """Returns the names of `QUANTILES` in JSON and CSV: q10, q50, q90."""
    return tuple(f"q{level * 100:g}" for level in QUANTILES)


def age_column_names(name: str) -> tuple[str, ...]:
    """Returns the columns of an estimate in a CSV.

    Args:
        name: The attribute.

    Returns:
        Such as age_mean, age_q10, age_q50, age_q90.
    """
    return tuple(f"{name}_{part}" for part in ("mean", *quantile_names()))


def find_age_attribute(schema: LabelSchema) -> Attribute | None:
    """Finds the attribute whose bands are of years.

    Args:
        schema: A label schema.

    Returns:
        The first attribute with whole borders and a valid range of at most `MAX_YEARS`; None where there is none.
    """
    for attribute in schema.attributes:
        edges, limits = attribute.bin_edges, attribute.valid_range
        if edges and limits and limits[1] - limits[0] <= MAX_YEARS and limits[0] < edges[0] and edges[-1] <= limits[1]:
            return attribute if all(float(edge).is_integer() for edge in edges) else None
    return None


def has_narrow_bands(attribute: Attribute) -> bool:
    """Checks whether bands are narrow enough for an age in years.

    Args:
        attribute: An attribute of years, as trained.

    Returns:
        Whether all bands between the first and the last are at most `MAX_BIN_WIDTH` years wide, and there is one.
    """
    widths = [high - low for low, high in pairwise(attribute.bin_edges)]
    return bool(widths) and max(widths) <= MAX_BIN_WIDTH


def narrow_age_bands(schema: LabelSchema, logits: Mapping[str, NDArray[np.floating]]) -> FloatArray | None:
    """Computes the probabilities of narrow age bands.

    Args:
        schema: The label schema that the network was trained on.
        logits: Head name -> (photos, outputs).

    Returns:
        Shape (photos, bands); None where the schema has no narrow age bands.
    """
    attribute = find_age_attribute(schema)
    if attribute is None or not has_narrow_bands(attribute):
        return None
    if attribute.name in logits:
        return softmax(logits[attribute.name])
    joint = schema.joint_probabilities({name: softmax(values) for name, values in logits.items()})
    return schema.marginals(joint)[attribute.name]


def spread_bands(
    attribute: Attribute, bands: NDArray[np.floating], age_range: tuple[float, float] = DEFAULT_AGE_RANGE
) -> AgeTable:
    """Spreads the probability of each band over its years.

    Args:
        attribute: An attribute of years with its bands.
        bands: Probabilities of the bands, (photos, bands).
        age_range: The youngest and the oldest age: ends of the open bands, each of which keeps at least one year.

    Returns:
        The distributions, over every year of the attribute's valid range.

    Raises:
        DataError: The attribute has no bands of years.
    """
    if attribute.valid_range is None or not attribute.bin_edges:
        raise DataError(f"{attribute.name} has no bands of years")
    first, last = int(attribute.valid_range[0]), int(attribute.valid_range[1])
    years = np.arange(first, last + 1)
    low = min(age_range[0], attribute.bin_edges[0] - 1)
    high = max(age_range[1], attribute.bin_edges[-1])
    inside = (years >= low) & (years <= high)
    matrix = _band_matrix(years, attribute.bin_edges) * inside[:, None]
    matrix = matrix / matrix.sum(axis=0, keepdims=True)
    return AgeTable(first, np.asarray(bands, dtype=np.float64) @ matrix.T + MIN_SHARE * inside)


def sharpen(bands: NDArray[np.floating], temperature: float) -> FloatArray:
    """Scales the logarithms of the bands' probabilities.

    Args:
        bands: Probabilities, (photos, bands).
        temperature: Above 1 widens the distribution.

    Returns:
        Probabilities of the same shape.
    """
    rows = np.asarray(bands, dtype=np.float64)
    if temperature == 1:
        return rows
    powers = np.maximum(rows, 1e-12) ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def estimate_ages(schema: LabelSchema, probabilities: FloatArray, ages: AgeTable | None) -> list[AgeEstimate] | None:
    """Estimates ages whose shares of the age bands are those of the probabilities.

    Args:
        schema: The schema of the predictions.
        probabilities: Shape (photos, classes).
        ages: Distributions of the ages; None without.

    Returns:
        The estimates; None without distributions.
    """
    attribute = find_age_attribute(schema)
    if ages is None or attribute is None:
        return None
    bands = schema.marginals(probabilities)[attribute.name]
    return ages.fit_bands(attribute.bin_edges, bands).estimates(attribute.bin_edges)


def parse_age_borders(text: str | None) -> tuple[float, ...] | None:
    """Parses borders of age bands.

    Args:
        text: Ascending whole numbers, separated by commas: `30,57`.

    Returns:
        The borders; None for None.

    Raises:
        DataError: The text is something else.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) <= 4 for part in parts):
        raise DataError(f"age borders '{text}' are not whole numbers", hint="--age-borders 30,57")
    borders = tuple(float(part) for part in parts)
    if list(borders) != sorted(set(borders)):
        raise DataError(f"age borders '{text}' do not ascend", hint="--age-borders 30,57")
    return borders


def move_borders(schema: LabelSchema, borders: Sequence[float]) -> LabelSchema:
    """Builds the schema with other age bands.

    Args:
        schema: A scored label schema.
        borders: Ascending borders in whole years.

    Returns:
        The schema, its attribute of years with the bands between these borders.

    Raises:
        DataError: The schema has no attribute of years, or a border is outside of its valid range.
    """
    attribute = find_age_attribute(schema)
    if attribute is None or attribute.valid_range is None:
        raise DataError(
            f"the models predict {', '.join(schema.names)}, none of them in bands of years",
            hint="leave out age borders",
        )
    first, last = attribute.valid_range
    outside = [border for border in borders if not first < border <= last]
    if outside:
        raise DataError(
            f"the age border {outside[0]:g} is not above {first:g} and at most {last:g}", hint="--age-borders 30,57"
        )
    if tuple(borders) == attribute.bin_edges:
        return schema
    inner = [f"{low:g}-{high - 1:g}" if high - low > 1 else f"{low:g}" for low, high in pairwise(borders)]
    moved = Attribute(
        name=attribute.name,
        values=(f"<{borders[0]:g}", *inner, f">={borders[-1]:g}"),
        bin_edges=tuple(borders),
        valid_range=attribute.valid_range,
    )
    return LabelSchema(attributes=tuple(moved if item.name == moved.name else item for item in schema.attributes))


def rebin_probabilities(
    schema: LabelSchema, probabilities: NDArray[np.floating], ages: AgeTable, moved: LabelSchema
) -> FloatArray:
    """Computes the probabilities of classes with other age bands.

    Within each band the ages are distributed as `ages` says, whatever the other attributes are.

    Args:
        schema: The schema of `probabilities`.
        probabilities: Shape (photos, classes).
        ages: The distributions, one for each photo.
        moved: What `move_borders` returned.

    Returns:
        Shape (photos, classes of `moved`), rows with the sums of `probabilities`.
    """
    column = next(index for index, item in enumerate(moved.attributes) if item != schema.attributes[index])
    old, new = (item.attributes[column].bin_edges for item in (schema, moved))
    before, after = _band_matrix(ages.years, old), _band_matrix(ages.years, new)
    # (photos, old bands, new bands): how the years of each old band fall into the new ones.
    shares = np.einsum("py,yo,yn->pon", ages.shares, before, after, optimize=True)
    shares = shares / shares.sum(axis=2, keepdims=True)
    cube = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), *schema.shape)
    rows = np.moveaxis(cube, 1 + column, -1)
    flat = rows.reshape(len(cube), -1, rows.shape[-1])
    result = np.moveaxis((flat @ shares).reshape(*rows.shape[:-1], len(new) + 1), -1, 1 + column)
    return np.ascontiguousarray(result).reshape(len(cube), moved.num_classes)


def _band_matrix(years: IntArray, edges: Sequence[float]) -> FloatArray:
    """(years, bands), 1 where a year is in a band."""
    band = np.searchsorted(np.asarray(edges, dtype=np.float64), years, side="right")
    return np.asarray(band[:, None] == np.arange(len(edges) + 1), dtype=np.float64)
