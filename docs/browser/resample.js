/**
 * Pillow's resampling of 8-bit pixels, to the bit: `Image.resize(size, filter, box)` for RGB.
 *
 * The filter's support grows with the downscaling, so nothing aliases; weights are rounded to 22 bits, and the first of
 * the two passes to 8 bits, so that their order matters. It is that of Pillow 13 (libImaging/Resample.c); Pillow 12
 * always begins with the horizontal pass, which differs by a level or a few on tall photos.
 *
 * @typedef {{data: Uint8Array, width: number, height: number}} Pixels RGB, three bytes a pixel, row by row.
 * @typedef {[number, number, number, number]} Box Left, upper, right, lower in pixels.
 */

const PRECISION_BITS = 32 - 8 - 2;
const HALF = 1 << (PRECISION_BITS - 1);

/** Filter functions and their support in pixels, by the names that model files use. */
const FILTERS = {
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(1 - Math.abs(x), 0)],
  bicubic: [2, (x) => bicubic(Math.abs(x))],
};

export const FILTER_NAMES = Object.keys(FILTERS);

function bicubic(x) {
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/**
 * Resizes a part of an image.
 *
 * @param {Pixels} image
 * @param {number} width Width of the result.
 * @param {number} height Height of the result.
 * @param {"box" | "bilinear" | "bicubic"} filter
 * @param {Box} [box] The part; the whole image where it is left out.
 * @returns {Pixels}
 */
export function resize(image, width, height, filter, box = [0, 0, image.width, image.height]) {
  // Pillow passes boxes as 32-bit floats.
  const [left, upper, right, lower] = box.map(Math.fround);
  const columns = makeWeights(image.width, left, right, width, filter);
  const rows = makeWeights(image.height, upper, lower, height, filter);
  const isHorizontal = width !== image.width || left !== 0 || right !== width;
  const isVertical = height !== image.height || upper !== 0 || lower !== height;
  if (!isVertical && !isHorizontal) return { ...image, data: image.data.slice() };
  if (!isVertical) return resizeRows(image, width, columns, 0, height);
  if (!isHorizontal) return resizeColumns(image, height, rows, 0);
  const removed = image.height - height;
  // By the size of the whole image, also where a part of it is resized.
  if (removed > 0 && removed > 2 * (image.width - width)) {
    return resizeRows(resizeColumns(image, height, rows, 0), width, columns, 0, height);
  }
  const first = rows.starts[0];
  const last = rows.starts[height - 1] + rows.counts[height - 1];
  return resizeColumns(resizeRows(image, width, columns, first, last), height, rows, first);
}

/** The source pixels of each result pixel along one axis: first one, number, and weights of 22 bits. */
function makeWeights(inputSize, low, high, outputSize, filter) {
  const [radius, weight] = FILTERS[filter];
  const scale = Math.fround(high - low) / outputSize;
  const stretch = Math.max(scale, 1);
  const support = radius * stretch;
  const size = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputSize);
  const counts = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * size);
  const row = new Float64Array(size);
  for (let index = 0; index < outputSize; index++) {
    const center = low + (index + 0.5) * scale;
    const start = Math.max(Math.trunc(center - support + 0.5), 0);
    const count = Math.min(Math.trunc(center + support + 0.5), inputSize) - start;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      row[k] = weight((k + start - center + 0.5) * (1 / stretch));
      sum += row[k];
    }
    for (let k = 0; k < count; k++) {
      const value = (sum === 0 ? row[k] : row[k] / sum) * (1 << PRECISION_BITS);
      weights[index * size + k] = Math.trunc(value < 0 ? value - 0.5 : value + 0.5);
    }
    starts[index] = start;
    counts[index] = count;
  }
  return { starts, counts, weights, size };
}

function clip(sum) {
  const value = sum >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** The horizontal pass, over the rows that the vertical pass reads. */
function resizeRows(image, width, { starts, counts, weights, size }, first, last) {
  const source = image.data;
  const data = new Uint8Array(width * (last - first) * 3);
  let target = 0;
  for (let y = first; y < last; y++) {
    const row = y * image.width * 3;
    for (let x = 0; x < width; x++) {
      let position = row + starts[x] * 3;
      let red = HALF, green = HALF, blue = HALF;
      const end = x * size + counts[x];
      for (let k = x * size; k < end; k++) {
        const weight = weights[k];
        red = (red + source[position] * weight) | 0;
        green = (green + source[position + 1] * weight) | 0;
        blue = (blue + source[position + 2] * weight) | 0;
        position += 3;
      }
      data[target] = clip(red);
      data[target + 1] = clip(green);
      data[target + 2] = clip(blue);
      target += 3;
    }
  }
  return { data, width, height: last - first };
}

/** The vertical pass; `shift` is the image's first row in the coordinates of the weights. */
function resizeColumns(image, height, { starts, counts, weights, size }, shift) {
  const source = image.data;
  const stride = image.width * 3;
  const data = new Uint8Array(stride * height);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    let position = (starts[y] - shift) * stride;
    // Row by row and not column by column, so that memory is read in order.
    for (let k = y * size; k < y * size + counts[y]; k++) {
      const weight = weights[k];
      for (let x = 0; x < stride; x++) sums[x] += source[position + x] * weight;
      position += stride;
    }
    for (let x = 0; x < stride; x++) data[y * stride + x] = clip(sums[x]);
  }
  return { data, width: image.width, height };
}
