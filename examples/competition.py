"""A competition, from photos to an ensemble and a submission, on drawn faces.

python examples/competition.py WORK_FOLDER
"""

# %% Photos: a folder for each person, as the competition has them. With real photos only these paths change.
import subprocess
import sys
from pathlib import Path

import maskfit

work = Path(sys.argv[1] if len(sys.argv) > 1 else "work/competition")
photos, eval_photos = work / "photos", work / "eval"


def run(*arguments: object) -> None:
    """Runs a maskfit command, as typed in a shell."""
    print("$ maskfit", *arguments)
    subprocess.run([sys.executable, "-m", "maskfit", *map(str, arguments)], check=True)


if __name__ == "__main__":
    if not photos.exists():
        run("data", "synthesize", photos, "--persons", 80)
        run("data", "synthesize", eval_photos, "--persons", 12, "--seed", 7)

    # %% Every problem of the data, before an hour of training meets it.
    run("data", "check", photos)
    dataset = maskfit.load_dataset(photos)
    print(len(dataset), "photos")

    # %% Two recipes on the same folds of persons. A run that exists is continued, not repeated.
    small = ["data.image_size=48", "trainer.epochs=4", "cv.num_folds=3", f"data.path={photos}"]
    runs = []
    for name, more in (("plain", []), ("focal", ["loss=focal", "batch_mixing=mixup"])):
        folder = work / "runs" / name
        result = maskfit.train("fast", *small, *more, f"output_dir={folder}", resume=folder.exists())
        print(f"{name}: out-of-fold macro F1 {result.scores.macro_f1:.3f} on persons that no model saw")
        runs.append(folder)

    # %% What is the difference worth? Resampled persons say whether it could be chance.
    run("compare", *runs)

    # %% Together: no photo is opened, the runs kept the probabilities.
    table = maskfit.ensemble(runs)
    print(f"ensemble: {len(table.names)} photos")
    run("ensemble", *runs, "--out", work / "votes", "--force")

    # %% The submission: one row for each photo, ImageID,ans.
    submission = work / "submission.csv"
    run("predict", *runs, "--images", eval_photos / "images", "--tta", "flip", "--out", submission, "--force")

    # %% Drawn photos have their truth in the folder names, so the submission can be scored here.
    run("evaluate", eval_photos / "images", submission)
