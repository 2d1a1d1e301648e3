/**
 * An exported model and what it needs: crop, resize, network, decisions.
 *
 * @typedef {import("./resample.js").Pixels} Pixels
 * @typedef {import("./resample.js").Box} Box
 */

import { centerBox, portraitAround } from "./geometry.js";
import { decide } from "./decisions.js";
import { FILTER_NAMES, resize } from "./resample.js";

/** Crops that this page can do, as functions of the photo's size, the network's aspect ratio and the crop's options. */
const CROPS = {
  center: centerBox,
  resize: (photo) => [0, 0, photo.width, photo.height],
};

/** Faces that go through the network together; more only take memory. */
const BATCH_SIZE = 16;

/**
 * Makes a classifier.
 *
 * @param {object} metadata Result of `readModelMetadata`.
 * @param {(frames: Uint8Array, dims: number[]) => Promise<Record<string, {data: Float32Array}>>} run Runs the network
 *   on images (batch, height, width, 3) and returns its outputs by name.
 * @param {{faceWidth: number, faceHeight: number, aspect: number}} portrait What the training photos are like.
 * @returns {(photo: Pixels, boxes: (Box | null)[]) => Promise<import("./decisions.js").Decision[][]>} Decides for each
 *   face of a photo; null is the whole photo.
 * @throws {Error} The model needs a step that this page does not have.
 */
export function makeClassifier(metadata, run, portrait) {
  const settings = metadata.preprocessing.crop_resize;
  const { name, ...options } = typeof settings.crop === "string" ? { name: settings.crop } : settings.crop;
  const unsupported = [
    CROPS[name] === undefined && `the crop '${name}'`,
    (settings.background_removal ?? "none") !== "none" && "background removal",
    settings.unsharp_mask && "sharpening",
    !FILTER_NAMES.includes(settings.filter) && `the filter '${settings.filter}'`,
  ].filter(Boolean);
  if (unsupported.length) throw new Error(`This page cannot run the model: it needs ${unsupported.join(", ")}.`);
  const [height, width] = settings.size;

  /** A model that was trained on portraits gets the portrait around a face. */
  function makeFrame(photo, box) {
    const [left, upper, right, lower] = box ? portraitAround(box, photo, portrait) : [0, 0, photo.width, photo.height];
    const part = { width: right - left, height: lower - upper };
    const [x, y, endX, endY] = CROPS[name](part, width / height, options);
    return resize(photo, width, height, settings.filter, [x + left, y + upper, endX + left, endY + upper]).data;
  }

  async function decideBatch(photo, boxes) {
    const frames = new Uint8Array(boxes.length * height * width * 3);
    boxes.forEach((box, index) => frames.set(makeFrame(photo, box), index * height * width * 3));
    const outputs = await run(frames, [boxes.length, height, width, 3]);
    return boxes.map((_, index) => {
      const logits = metadata.heads.map((head) => {
        const size = outputs[head].data.length / boxes.length;
        return [head, outputs[head].data.subarray(index * size, (index + 1) * size)];
      });
      return decide(metadata, Object.fromEntries(logits));
    });
  }

  return async (photo, boxes) => {
    const decisions = [];
    for (let start = 0; start < boxes.length; start += BATCH_SIZE) {
      decisions.push(...(await decideBatch(photo, boxes.slice(start, start + BATCH_SIZE))));
    }
    return decisions;
  };
}
