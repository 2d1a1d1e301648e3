/**
 * maskfit's own face detector (`maskfit.data.detectors.bundled`): letterbox, network, decoding.
 *
 * @typedef {import("./resample.js").Pixels} Pixels
 * @typedef {{box: import("./resample.js").Box, score: number}} Face
 */

import { clamp, roundHalfEven, suppress } from "./geometry.js";
import { resize } from "./resample.js";

/**
 * Makes a detector.
 *
 * @param {(canvas: Pixels) => Promise<Record<string, {data: Float32Array, dims: readonly number[]}>>} run Runs the
 *   network on one image and returns its maps by name.
 * @param {{side: number, score: number, iouThreshold: number, minReadScale: number, logSizeRange: number[],
 *   strides: number[], outputs: string[]}} settings
 * @returns {(photo: Pixels) => Promise<Face[]>} The faces by falling score.
 */
export function makeDetector(run, settings) {
  async function detectAt(photo, side) {
    const image = letterbox(photo, side, Math.max(...settings.strides), settings.minReadScale);
    return decode(await run(image.canvas), image, settings);
  }
  return async (photo) => {
    const faces = await detectAt(photo, settings.side);
    // A smaller image shows faces that fill the photo at the sizes that the network knows best.
    return faces.length ? faces : detectAt(photo, Math.floor(settings.side / 2));
  };
}

/** Downscales so that the longer side is `side`, and pads below and to the right to multiples of `multiple`. */
export function letterbox(photo, side, multiple, minReadScale) {
  const scale = Math.min(side / Math.max(photo.height, photo.width), 1);
  const width = Math.max(roundHalfEven(photo.width * scale), 1);
  const height = Math.max(roundHalfEven(photo.height * scale), 1);
  const resized = downscale(photo, width, height, minReadScale);
  const canvas = {
    width: Math.ceil(width / multiple) * multiple,
    height: Math.ceil(height / multiple) * multiple,
  };
  const data = new Uint8Array(canvas.width * canvas.height * 3);
  for (let row = 0; row < height; row++) {
    data.set(resized.data.subarray(row * width * 3, (row + 1) * width * 3), row * canvas.width * 3);
  }
  return { canvas: { ...canvas, data }, scaleX: width / photo.width, scaleY: height / photo.height };
}

/** Of a large photo only every n-th pixel of every n-th row is read: at least `minReadScale` times the wanted size. */
function downscale(photo, width, height, minReadScale) {
  const ratio = Math.min(Math.floor(photo.height / height), Math.floor(photo.width / width));
  const step = Math.max(Math.floor(ratio / minReadScale), 1);
  if (step === 1) return resize(photo, width, height, "bilinear");
  const first = Math.floor(step / 2);
  const columns = Math.ceil((photo.width - first) / step);
  const rows = Math.ceil((photo.height - first) / step);
  const data = new Uint8Array(columns * rows * 3);
  let target = 0;
  for (let y = first; y < photo.height; y += step) {
    for (let x = first; x < photo.width; x += step) {
      const source = (y * photo.width + x) * 3;
      data[target++] = photo.data[source];
      data[target++] = photo.data[source + 1];
      data[target++] = photo.data[source + 2];
    }
  }
  const extent = [0, 0, Math.min(photo.width / step, columns), Math.min(photo.height / step, rows)];
  return resize({ data, width: columns, height: rows }, width, height, "bilinear", extent);
}

/** Per cell: two logits whose mean is a face's, its center from the cell's corner, the logarithms of width and height. */
function decode(maps, image, { score, iouThreshold, logSizeRange, strides, outputs }) {
  const boxes = [];
  const scores = [];
  const least = Math.log(score / (1 - score));
  strides.forEach((stride, level) => {
    const { data, dims } = maps[outputs[level]];
    const [, , rows, columns] = dims;
    const size = rows * columns;
    for (let cell = 0; cell < size; cell++) {
      const logit = (data[cell] + data[size + cell]) / 2;
      if (!(logit >= least)) continue;
      const x = (cell % columns) + data[2 * size + cell];
      const y = Math.floor(cell / columns) + data[3 * size + cell];
      const [halfWidth, halfHeight] = [4, 5].map((plane) => Math.exp(clamp(data[plane * size + cell], ...logSizeRange)) / 2);
      boxes.push([
        ((x - halfWidth) * stride) / image.scaleX,
        ((y - halfHeight) * stride) / image.scaleY,
        ((x + halfWidth) * stride) / image.scaleX,
        ((y + halfHeight) * stride) / image.scaleY,
      ]);
      scores.push(1 / (1 + Math.exp(-logit)));
    }
  });
  return suppress(boxes, scores, iouThreshold).map((index) => ({ box: boxes[index], score: scores[index] }));
}
