"""Wrong labels: plant some, find them, correct them, train again, on drawn faces.

python examples/clean_labels.py WORK_FOLDER
"""

# %% Photos, and a table of them in which we know what is wrong, since we make it wrong.
import csv
import subprocess
import sys
from pathlib import Path

import maskfit

work = Path(sys.argv[1] if len(sys.argv) > 1 else "work/labels")
photos, manifest = work / "photos", work / "photos.csv"
PLANTED = 6
OTHER = {"male": "female", "female": "male"}


def run(*arguments: object) -> None:
    """Runs a maskfit command, as typed in a shell."""
    print("$ maskfit", *arguments)
    subprocess.run([sys.executable, "-m", "maskfit", *map(str, arguments)], check=True)


if __name__ == "__main__":
    if not photos.exists():
        run("data", "synthesize", photos, "--persons", 90)
    folders = sorted((photos / "images").iterdir())
    wrong = {folder.name for folder in folders[5 :: len(folders) // PLANTED][:PLANTED]}
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "person", "mask", "gender", "age"])
        for folder in folders:
            _, gender, _, age = folder.name.split("_")
            for photo in sorted(folder.iterdir()):
                state = {"n": "not_wear", "i": "incorrect"}.get(photo.name[0], "wear")
                written = OTHER[gender] if folder.name in wrong else gender
                writer.writerow([photo.relative_to(work), folder.name, state, written, age])
    print(f"{len(folders)} persons, the gender of {len(wrong)} is written wrongly")

    # %% Every photo is predicted by a model that never saw its person: where it contradicts the label, look.
    folder = work / "run"
    recipe = ["fast", f"data.path={manifest}", "data.image_size=64", "trainer.epochs=8", "cv.num_folds=3"]
    result = maskfit.train(*recipe, f"output_dir={folder}", resume=folder.exists())
    issues = [issue for issue in maskfit.find_label_issues([folder]) if issue.attribute == "gender"]
    for issue in issues[: 2 * PLANTED]:
        mark = "planted" if issue.person in wrong else ""
        print(f"{issue.person}: {issue.label[0]} -> {issue.proposed[0]}  {issue.score:.2f}  {mark}")
    first = [issue.person for issue in issues[: 2 * PLANTED]]
    print(f"{len(wrong & set(first))} of {len(wrong)} planted labels are among the first {len(first)}")

    # %% Corrections lie beside the photos, which stay as they are. `maskfit review` writes such a file from clicks;
    # this plays a person who looks at the list and accepts what is really wrong.
    corrections = work / "corrections.csv"
    with corrections.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "photo", "attribute", "value", "tier", "reason"])
        for issue in issues[: 2 * PLANTED]:
            if issue.person in wrong:
                writer.writerow([issue.person, "", "gender", issue.proposed[0], "certain", "looked at"])

    # %% The same recipe with the corrections laid over the labels.
    corrected = work / "corrected"
    again = maskfit.train(
        *recipe, f"data.label_corrections={corrections}", f"output_dir={corrected}", resume=corrected.exists()
    )
    before, after = result.scores.per_attribute["gender"], again.scores.per_attribute["gender"]
    print(f"gender, out of fold: accuracy {before.accuracy:.3f} by the wrong labels, {after.accuracy:.3f} corrected")
    run("compare", folder, corrected)
