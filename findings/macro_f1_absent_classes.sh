#!/usr/bin/env bash
# Macro F1 of one set of predictions is 0.489 in scikit-learn, torchmetrics and torcheval, and 0.367 in PyTorch-Ignite, where a class is in
# neither truth nor predictions, as rare classes often are in a held-out part.
#
# scikit-learn 1.9.1, torchmetrics 1.9.0 and torcheval 0.0.7 average over the classes that occur in truth or predictions, also
# where they are told that there are four classes. PyTorch-Ignite 0.5.5 (`Fbeta(1.0)` on `Precision` and `Recall`, as its
# documentation shows) has no value for the absent class and for one that is never right, and averages them as 0. So scores of the two
# kinds cannot be compared, nor can folds with other absent classes. torcheval warns that the scores of classes that are not in
# the target "will be cast to zeros", and then leaves the absent one out of the mean.
# Exits 0 while that holds, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "torch==2.15.0" "torchmetrics==1.9.0" "torcheval==0.0.7" \
  "pytorch-ignite==0.5.5" "scikit-learn==1.9.1"
cat > "$folder/score.py" <<'PYTHON'
import torch
from ignite.metrics import Fbeta, Precision, Recall
from sklearn.metrics import f1_score
from torcheval.metrics.functional import multiclass_f1_score
from torchmetrics.classification import MulticlassF1Score

# Four classes: 2 is in the truth and never predicted, 3 is in neither.
truth = torch.tensor([0, 0, 0, 1, 1, 2])
predicted = torch.tensor([0, 0, 1, 1, 1, 1])
precision, recall = Precision(average=False), Recall(average=False)
ignite = Fbeta(1.0, average=True, precision=precision, recall=recall)
for metric in (precision, recall):
    metric.update((torch.nn.functional.one_hot(predicted, 4).float(), truth))
scores = {
    "scikit-learn": f1_score(truth, predicted, average="macro"),
    "torchmetrics": MulticlassF1Score(4, average="macro")(predicted, truth).item(),
    "torcheval": multiclass_f1_score(predicted, truth, num_classes=4, average="macro").item(),
    "PyTorch-Ignite": float(ignite.compute()),
}
present = [2 * 2 / 5, 2 * 2 / 6, 0.0]
for name, value in scores.items():
    print(f"{name}: {value:.4f}")
    count = 4 if name == "PyTorch-Ignite" else 3
    assert abs(value - sum(present) / count) < 1e-6, name
PYTHON
"$folder/venv/bin/python" "$folder/score.py" 2>&1 | tee "$folder/output.txt"
grep -q "will be cast to zeros" "$folder/output.txt"
