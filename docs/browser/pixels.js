/**
 * Decodes photos to upright RGB with the browser's own decoders.
 *
 * @typedef {import("./resample.js").Pixels} Pixels
 */

/** Pixels that are read from a canvas at once; browsers limit a canvas's size, and some to 16 million pixels. */
const STRIP_PIXELS = 2 ** 21;

/**
 * Decodes a photo. The camera's orientation is honored, color profiles are not, as in Python.
 *
 * @param {Blob} file
 * @returns {Promise<ImageBitmap>}
 * @throws {Error} The browser cannot decode it.
 */
export async function decodePhoto(file) {
  if (file.size === 0) throw new Error("The file is empty.");
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    throw new Error("This browser cannot read the file: it is damaged, or no JPEG, PNG or WebP.");
  }
}

/**
 * Reads the pixels of an image; what is transparent is laid over white.
 *
 * @param {ImageBitmap} image
 * @returns {Pixels}
 */
export function readPixels(image) {
  const { width, height } = image;
  const data = new Uint8Array(width * height * 3);
  const rows = Math.min(Math.max(Math.floor(STRIP_PIXELS / width), 1), height);
  const canvas = new OffscreenCanvas(width, rows);
  // Kept in memory and not on the graphics card, whose drivers may round differently.
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  context.imageSmoothingEnabled = false;
  let target = 0;
  for (let row = 0; row < height; row += rows) {
    const count = Math.min(rows, height - row);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, count);
    context.drawImage(image, 0, row, width, count, 0, 0, width, count);
    const source = context.getImageData(0, 0, width, count).data;
    for (let position = 0; position < source.length; position += 4) {
      data[target++] = source[position];
      data[target++] = source[position + 1];
      data[target++] = source[position + 2];
    }
  }
  return { data, width, height };
}
