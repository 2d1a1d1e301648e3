/**
 * The worker that holds the networks, so that the page stays responsive. It answers messages `{id, kind, ...}`:
 * `open` loads everything and `predict` takes a photo's file or a video frame.
 */

import { makeClassifier } from "./classifier.js";
import { makeDetector } from "./detector.js";
import { makeFacePredictor } from "./face_predictor.js";
import { readModelMetadata } from "./model_metadata.js";
import { decodePhoto, readPixels } from "./pixels.js";
import * as ort from "./runtime/ort.wasm.min.mjs";

/** The address of a file beside this one; the worker's own is that of a blob. */
const address = (name) => new URL(name, import.meta.url);

/** @type {{settings: object, files: Record<string, Uint8Array>, predict: Function}} */
let opened;

async function open(report) {
  const settings = await (await fetchFile("settings.json")).json();
  const files = await loadAll({ ...settings.files, runtime: settings.runtime.binary }, report);
  ort.env.wasm.numThreads = 1; // More would need response headers that static hosts do not send.
  ort.env.wasm.wasmBinary = files.runtime.buffer;
  const metadata = readModelMetadata(files.model);
  const network = await openNetwork(files.model);
  const detectorNetwork = await openNetwork(files.detector);
  const detect = makeDetector(
    ({ data, width, height }) => detectorNetwork(data, [1, height, width, 3]),
    settings.detector,
  );
  const classify = makeClassifier(metadata, network, settings.portrait);
  const limits = { ...settings.limits, minFace: metadata.calibration?.min_face };
  opened = { settings, predict: makeFacePredictor(detect, classify, limits) };
  queue(warmUp);
  return { settings, metadata, bytes: Object.values(files).reduce((sum, file) => sum + file.byteLength, 0) };
}

/** The first run is slow, since WebAssembly is still being compiled; it is better over before a photo is chosen. */
function warmUp() {
  const [width, height] = [512, 384];
  return opened.predict({ data: new Uint8Array(width * height * 3), width, height });
}

async function fetchFile(name) {
  const response = await fetch(address(name));
  if (!response.ok) throw new Error(`${name} could not be loaded (${response.status}).`);
  return response;
}

/** Loads files together and reports the bytes of all of them as they come. */
async function loadAll(names, report) {
  let loaded = 0;
  const entries = Object.entries(names).map(async ([key, name]) => {
    const reader = (await fetchFile(name)).body.getReader();
    const chunks = [];
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      loaded += part.value.byteLength;
      report(loaded);
    }
    return [key, new Uint8Array(await new Blob(chunks).arrayBuffer())];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Opens a network with one input of bytes. */
async function openNetwork(content) {
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  const [input] = session.inputNames;
  return (data, dims) => session.run({ [input]: new ort.Tensor("uint8", data, dims) });
}

async function predict(source) {
  const image = source instanceof ImageBitmap ? source : await decodePhoto(source);
  try {
    const { maxPixels } = opened.settings.limits;
    if (image.width * image.height > maxPixels) {
      throw new Error(`The photo has more than ${maxPixels.toLocaleString("en")} pixels.`);
    }
    return await opened.predict(readPixels(image));
  } finally {
    image.close();
  }
}

let last = Promise.resolve();

/** Runs one thing after the other: a network takes one input at a time. */
function queue(action) {
  last = last.then(action, action);
  return last;
}

self.onmessage = async ({ data: { id, kind, source } }) => {
  const report = (loaded) => self.postMessage({ id, loaded });
  try {
    const result = kind === "open" ? await open(report) : await queue(() => predict(source));
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
