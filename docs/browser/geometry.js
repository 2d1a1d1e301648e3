/**
 * Boxes of faces and what is cut out around them, with the numbers of `maskfit.data.boxes` and `maskfit.data.crops`.
 *
 * @typedef {import("./resample.js").Box} Box
 * @typedef {{width: number, height: number}} Size
 */

/** Rounds halves to the even neighbor, as Python's `round` does. */
export function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** @param {Box} box */
export function area(box) {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

/**
 * The part of a photo in which a face is as large and as central as on the photos that the model was trained on.
 *
 * @param {Box} box The face.
 * @param {Size} photo
 * @param {{faceWidth: number, faceHeight: number, aspect: number}} portrait
 * @returns {Box} In whole pixels, at least one wide and high.
 */
export function portraitAround(box, photo, portrait) {
  const height = Math.max(
    (box[3] - box[1]) / portrait.faceHeight,
    (box[2] - box[0]) / portrait.faceWidth / portrait.aspect,
  );
  const x = (box[0] + box[2]) / 2;
  const y = (box[1] + box[3]) / 2;
  const [left, right] = [-1, 1].map((side) => clamp(x + (side * height * portrait.aspect) / 2, 0, photo.width));
  const [upper, lower] = [-1, 1].map((side) => clamp(y + (side * height) / 2, 0, photo.height));
  const column = Math.min(Math.floor(left), photo.width - 1);
  const row = Math.min(Math.floor(upper), photo.height - 1);
  return [column, row, Math.max(Math.ceil(right), column + 1), Math.max(Math.ceil(lower), row + 1)];
}

/**
 * The largest centered box of an aspect ratio, or of one between that and the photo's own.
 *
 * @param {Size} photo
 * @param {number} aspect Width / height of the network's input.
 * @param {{scale?: number, shift?: number, squeeze?: number}} options
 * @returns {Box}
 */
export function centerBox(photo, aspect, { scale = 1, shift = 0, squeeze = 0 }) {
  const { width, height } = photo;
  const mixed = aspect * (width / height / aspect) ** squeeze;
  const cropWidth = scale * Math.min(width, height * mixed);
  const cropHeight = cropWidth / mixed;
  const left = (width - cropWidth) / 2;
  const upper = Math.min(Math.max((height - cropHeight) / 2 + shift * height, 0), height - cropHeight);
  return [
    Math.max(left, 0),
    Math.max(upper, 0),
    Math.min(left + cropWidth, width),
    Math.min(upper + cropHeight, height),
  ];
}

/**
 * Greedy non-maximum suppression.
 *
 * @param {Box[]} boxes
 * @param {number[]} scores
 * @param {number} iouThreshold Largest intersection over union of two boxes that both stay.
 * @returns {number[]} Indices by falling score.
 */
export function suppress(boxes, scores, iouThreshold) {
  const order = boxes.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
  const areas = boxes.map((box) => Math.max(box[2] - box[0], 0) * Math.max(box[3] - box[1], 0));
  const kept = [];
  for (const index of order) {
    if (!kept.some((other) => overlaps(boxes, areas, other, index, iouThreshold))) kept.push(index);
  }
  return kept;
}

function overlaps(boxes, areas, first, second, iouThreshold) {
  const [a, b] = [boxes[first], boxes[second]];
  const width = Math.max(Math.min(a[2], b[2]) - Math.max(a[0], b[0]), 0);
  const height = Math.max(Math.min(a[3], b[3]) - Math.max(a[1], b[1]), 0);
  const intersection = width * height;
  return intersection > iouThreshold * Math.max(areas[first] + areas[second] - intersection, 1e-9);
}
