"""`maskfit data import` of a large table, against pandas reading the same CSV and Pillow opening each header.

    uv run python benchmarks/import_speed.py [--rows N] [--rounds N]

The table has FairFace's form; the photos are hard links to a few tiny drawn ones in a temporary folder. The import
finds every photo but opens none. Contenders take turns, each in a process of its own; printed are the medians with
minimum and maximum, and their ratio (wanted: at most 1.5).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from maskfit.synthesis.drawn import write_train_set

WANTED = 1.5
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")

PANDAS = """
import sys
from pathlib import Path
import pandas
from PIL import Image

table = pandas.read_csv(sys.argv[1])
root = Path(sys.argv[1]).parent
for name in table["file"]:
    with Image.open(root / name) as image:
        image.size
print(len(table))
"""


def write_source(folder: Path, rows: int) -> Path:
    """Writes photos, 1,000 in a folder, and the table.

    Args:
        folder: An empty folder.
        rows: Number of photos and rows.

    Returns:
        The table.
    """
    originals = sorted(write_train_set(folder / "drawn", 2, size=(48, 64), workers=1).rglob("*.jpg"))
    lines = ["file,age,gender,race,service_test"]
    for number in range(rows):
        name = f"train/{number // 1000}/{number}.jpg"
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(originals[number % len(originals)], folder / "source" / name)
        gender = "Male" if number % 2 else "Female"
        lines.append(f"{name},{AGES[number % len(AGES)]},{gender},East Asian,True")
    table = folder / "source" / "fairface_label_train.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def measure(arguments: list[str]) -> float:
    """Returns the seconds of a process.

    Args:
        arguments: Its command line.

    Returns:
        Wall-clock time.
    """
    start = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = write_source(Path(folder), options.rows)
        target = Path(folder) / "manifest.csv"
        contenders = {
            "pandas and Pillow": [sys.executable, "-c", PANDAS, str(table)],
            "maskfit data import": [
                *(sys.executable, "-m", "maskfit", "data", "import", str(table), "--out", str(target), "--force")
            ],
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, arguments in contenders.items():
                seconds[name].append(measure(arguments))
        imported = sum(1 for _ in target.open(encoding="utf-8")) - 1
    if imported != options.rows:
        raise SystemExit(f"{imported} of {options.rows} rows were imported")
    for name, values in seconds.items():
        print(f"{name:<20} {statistics.median(values):7.2f} s  ({min(values):.2f} to {max(values):.2f})")
    ratio = statistics.median(seconds["maskfit data import"]) / statistics.median(seconds["pandas and Pillow"])
    print(f"ratio {ratio:.2f} for {options.rows:,} rows, wanted at most {WANTED}")


if __name__ == "__main__":
    main()
