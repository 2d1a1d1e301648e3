"""What the studio shows beside its own page: a run's report, a set of photos explored, and its labels reviewed."""

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


@dataclass
class TabContent:
    """Where the other pages take what they show. It is read when a page is first opened, and then kept.

    Args:
        run: A run, for its report, and for its photos and suspects where no others are named.
        photos: A folder or manifest of photos; the run's own where left out.
        scheme: What the labels of `photos` are about; a run knows that of its own.
        log: The audit log of the review.
        corrections: Where the review writes corrections.
    """

    run: Path | None = None
    photos: Path | None = None
    schema: LabelSchema = field(default_factory=lambda: LABEL_SCHEMAS["mask-gender-age"])
    log_path: Path = Path("review.jsonl")
    corrections_path: Path = Path("corrections.csv")

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._desk: ReviewController | None = None
        self._explored = ""
        self._reviewed = self.photos or self.run
        if self.run is not None and not is_run_dir(self.run):
            raise DataError("this folder is no run: it holds no recipe.yaml", location=self.run, hint="name a run")
        if self.run is not None and self.photos is None:
            data = read_recipe(RunDir(self.run).recipe).data
            self.photos, self.schema = Path(data.path) if data.path else None, data.label_schema

    @property
    def has_photos(self) -> bool:
        """Whether there is something to review and to explore."""
        return self.photos is not None

    @property
    def report(self) -> Path | None:
        """The run's report, a page of HTML; None where there is none."""
        path = None if self.run is None else RunDir(self.run).report
        return path if path is not None and path.is_file() else None

    def open_review(self) -> ReviewController:
        """The review, opened by whoever looks at it first; its log is made then, and not before.

        Raises:
            MaskfitError: Photos or log cannot be read, or another process has the log.
        """
        with self._lock:
            if self._desk is None:
                if self._reviewed is None or not self.has_photos:
                    raise DataError("there is nothing to review", hint="start the page with --photos ROOT or --run RUN")
                material = load_review_data(self._reviewed, self.schema)
                self._desk = ReviewController(material, self.log_path, self.corrections_path)
                set_controller(self._desk)
            return self._desk

    @property
    def exploration_page(self) -> str:
        """The page of the photos, where somebody had them looked at; else empty."""
        return self._explored

    def explore(self, progress: ExplorationProgress | None = None) -> str:
        """Looks at every photo, once for all visitors, and gives the page of HTML.

        Raises:
            MaskfitError: There is nothing to look at.
        """
        from maskfit.exploration.explore import explore
        from maskfit.exploration.page import render_page

        with self._lock:
            if not self._explored:
                if self.photos is None:
                    raise DataError(
                        "there is nothing to explore", hint="start the page with --photos ROOT or --run RUN"
                    )
                self._explored = render_page(explore(self.photos, self.schema, progress=progress))
            return self._explored

    def close(self) -> None:
        """Lets other processes have the review's log."""
        with self._lock:
            if self._desk is not None:
                self._desk.close()
                self._desk = None
                set_controller(None)
