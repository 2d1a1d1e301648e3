"""A door camera: class folders to a model that watches a video, on drawn faces.

python examples/door_camera.py WORK_FOLDER
"""

# %% Photos in class folders, as people collect them. Here they are copied from drawn persons.
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av

import maskfit
from maskfit.synthesis.drawn.synthetic_video import render_video

work = Path(sys.argv[1] if len(sys.argv) > 1 else "work/door")
classes = work / "door"
FOLDERS = {"m": "with_mask", "i": "mask_weared_incorrect", "n": "without_mask"}


def run(*arguments: object) -> None:
    """Runs a maskfit command, as typed in a shell."""
    print("$ maskfit", *arguments)
    subprocess.run([sys.executable, "-m", "maskfit", *map(str, arguments)], check=True)


def write_video(path: Path) -> None:
    """Draws persons who walk through a door and change how they wear their masks."""
    video = render_video(3, people=2, seconds=8, size=(480, 360), fps=12)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(12))
        stream.width, stream.height, stream.pix_fmt = 480, 360, "yuv420p"
        for _, pixels in video.frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    if not classes.exists():
        drawn = work / "drawn"
        if not drawn.exists():
            run("data", "synthesize", drawn, "--persons", 60)
        for number, photo in enumerate(sorted(drawn.glob("images/*/*"))):
            target = classes / FOLDERS[photo.name[0]] / f"p{photo.parent.name[:6]}_{number}{photo.suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(photo, target)

    # %% Class folders can be used as they are. The file names say who is on a photo, so a manifest with that is better:
    # the split then keeps each person on one side.
    manifest = work / "door.csv"
    if not manifest.exists():
        run("data", "import", classes, "--format", "folders", "--person", "([^/_]+)_[^/]*$", "--out", manifest)
    run("data", "check", manifest, "--schema", "mask")

    # %% A model of the mask alone, from the bundled model's backbone.
    folder = work / "run"
    result = maskfit.train(
        "transfer",
        f"data.path={manifest}",
        "data.label_schema=mask",
        "data.image_size=96",
        "trainer.epochs=3",
        f"output_dir={folder}",
        resume=folder.exists(),
    )
    print(f"macro F1 of the three states on persons that the model never saw: {result.scores.macro_f1:.3f}")

    # %% Below which probability does it say "not sure", so that 98 of 100 answers are right?
    fitted = maskfit.calibrate(folder, accuracy={"mask": 0.98})
    print("abstains below", fitted.calibration.abstain_below)

    # %% One file that needs no torch.
    model = work / "door.onnx"
    if not model.exists():
        maskfit.export(folder / "fold0" / "best.safetensors", model)

    # %% Watch: a row for each person who appears, changes the mask, or leaves.
    film, events = work / "door.mp4", work / "events.csv"
    write_video(film)
    events.unlink(missing_ok=True)
    run("video", film, "--model", model, "--out", events)
    print(events.read_text(encoding="utf-8"))
