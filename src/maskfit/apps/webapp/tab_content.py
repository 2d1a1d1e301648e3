"""Content of the other tabs: a run's report, the exploration of a dataset, and the review of its labels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from maskfit.apps.review.controller import ReviewController, set_controller
from maskfit.apps.review.review_data import load_review_data
from maskfit.config.loader import read_recipe
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema
from maskfit.run_dir import RunDir, is_run_dir

ExplorationProgress = Callable[[str, int, int], None]
"""Called with (stage, steps done, steps in total)."""


@dataclass
class TabContent:
    """Sources of the other tabs; each is loaded when its tab is first opened, and then kept.

    Attributes:
        run: A run, for its report, and for its photos and label issues where `photos` is None.
        photos: A folder or manifest of photos; by default those of the run.
        schema: The label schema of `photos`; a run brings its own.
        log_path: The audit log of the review.
        corrections_path: Where the review writes corrections.

    Raises:
        DataError: `run` is not a run.
    """

    run: Path | None = None
    photos: Path | None = None
    schema: LabelSchema = field(default_factory=lambda: LABEL_SCHEMAS["mask-gender-age"])
    log_path: Path = Path("review.jsonl")
    corrections_path: Path = Path("corrections.csv")

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._controller: ReviewController | None = None
        self._exploration_page = ""
        self._review_source = self.photos or self.run
        if self.run is not None and not is_run_dir(self.run):
            raise DataError("this folder is not a run: it has no recipe.yaml", location=self.run, hint="name a run")
        if self.run is not None and self.photos is None:
            data = read_recipe(RunDir(self.run).recipe).data
            self.photos, self.schema = Path(data.path) if data.path else None, data.label_schema

    @property
    def has_photos(self) -> bool:
        """Whether there is a dataset to review and to explore."""
        return self.photos is not None

    @property
    def report(self) -> Path | None:
        """The run's HTML report; None where there is none."""
        path = None if self.run is None else RunDir(self.run).report
        return path if path is not None and path.is_file() else None

    def open_review(self) -> ReviewController:
        """Opens the review on the first call, which also creates its log.

        Returns:
            The controller of the review.

        Raises:
            MaskfitError: There are no photos, photos or log cannot be read, or another process has the log open.
        """
        with self._lock:
            if self._controller is None:
                if self._review_source is None or not self.has_photos:
                    raise DataError("there is nothing to review", hint="start the page with --photos ROOT or --run RUN")
                data = load_review_data(self._review_source, self.schema)
                self._controller = ReviewController(data, self.log_path, self.corrections_path)
                set_controller(self._controller)
            return self._controller

    @property
    def exploration_page(self) -> str:
        """The HTML page of the exploration; empty until `explore` was called."""
        return self._exploration_page

    def explore(self, progress: ExplorationProgress | None = None) -> str:
        """Explores the photos on the first call, for all visitors.

        Args:
            progress: Called with (stage, steps done, steps in total).

        Returns:
            The HTML page.

        Raises:
            MaskfitError: There are no photos, or they cannot be read.
        """
        from maskfit.exploration.explore import explore
        from maskfit.exploration.page import render_page

        with self._lock:
            if not self._exploration_page:
                if self.photos is None:
                    raise DataError(
                        "there is nothing to explore", hint="start the page with --photos ROOT or --run RUN"
                    )
                self._exploration_page = render_page(explore(self.photos, self.schema, progress=progress))
            return self._exploration_page

    def close(self) -> None:
        """Closes the review, so that other processes can open its log."""
        with self._lock:
            if self._controller is not None:
                self._controller.close()
                self._controller = None
                set_controller(None)
