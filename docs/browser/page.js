/** The page: takes photos, asks the worker, shows the answers. */

import { Camera } from "./camera.js";
import { Client } from "./client.js";
import { count, element, makeCard, makeFailure, percent, tally, toJson } from "./results.js";

const find = (id) => document.getElementById(id);
const client = new Client();
/** The answers that are shown: card -> {name, prediction} or {name, error}. */
const answers = new Map();
let opened;
let camera;

function say(text, failed = false) {
  find("status").textContent = text;
  find("status").classList.toggle("failed", failed);
}

const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

async function open() {
  const response = await fetch("settings.json");
  if (!response.ok) throw new Error("this copy of the page is incomplete (scripts/build_browser_page.py builds it)");
  const settings = await response.json();
  const bar = find("progress").firstElementChild;
  opened = await client.open((loaded) => {
    bar.style.width = `${(100 * loaded) / settings.bytes}%`;
    say(`Loading the networks: ${megabytes(loaded)} of ${megabytes(settings.bytes)} MB`);
  });
  find("progress").classList.add("done");
  camera = new Camera(find("video"), client, opened.settings);
  describeModel(opened);
  say("Ready. Photos are read on this machine only.");
}

function describeModel({ settings, metadata }) {
  const { card = {}, calibration } = metadata;
  const own = metadata.recipe?.card ?? {};
  const thresholds = Object.entries(calibration?.abstain_below ?? {}).map(([name, value]) => `${name} ${percent(value)}`);
  if (thresholds.length) {
    find("thresholds").textContent = `It stands where the model’s probability is below its own threshold: ${thresholds.join(", ")}.`;
  }
  find("license").textContent = card.license ?? own.license ?? "";
  const facts = {
    "Intended use": card.intended_use ?? own.intended_use,
    "Training data": card.training_data ?? own.training_data,
    "Known failures": [card.limitations ?? own.limitations ?? []].flat().join(" "),
  };
  for (const [name, text] of Object.entries(facts)) {
    if (text) find("facts").append(element("dt", { textContent: name }), element("dd", { textContent: text }));
  }
  const files = Object.values(settings.files).map((name) => name.split("/").pop());
  find("versions").textContent = `${files.join(" and ")} in ONNX Runtime Web ${settings.runtime.version}.`;
}

/** Reads photos one after the other; each card appears when its answer is there. */
async function read(files) {
  const photos = [...files];
  await ready.catch(() => {});
  if (!opened) return;
  for (const [index, file] of photos.entries()) {
    const name = file.name || "pasted photo";
    say(`Reading ${name}${photos.length > 1 ? ` (${index + 1} of ${photos.length})` : ""} …`);
    await readOne(file, name);
  }
  say(photos.length === 1 ? "Done." : `Done: ${count(photos.length, "photo")}.`);
}

async function readOne(file, name) {
  const address = URL.createObjectURL(file);
  let card;
  const close = () => {
    URL.revokeObjectURL(address);
    answers.delete(card);
    card.remove();
    summarize();
  };
  try {
    const prediction = await client.predict(file);
    const image = element("img", { src: address });
    await image.decode();
    card = makeCard(name, prediction, image, opened, close);
    answers.set(card, { name, prediction });
  } catch (error) {
    card = makeFailure(name, error.message, close);
    answers.set(card, { name, error: error.message });
  }
  find("results").append(card);
  summarize();
}

function summarize() {
  const read = [...answers.values()].filter(({ prediction }) => prediction);
  const faces = read.flatMap(({ prediction }) => (prediction.found ? prediction.faces : []));
  find("actions").hidden = !answers.size;
  const words = faces.length ? `: ${tally(faces, opened.settings)}` : "";
  find("total").textContent = `${count(answers.size, "photo")}, ${count(faces.length, "face")}${words}`;
}

function save() {
  const own = [...answers.values()];
  const content = {
    detector: "bundled",
    photos: own.filter((answer) => answer.prediction).map((answer) => toJson(answer.name, answer.prediction, opened.settings)),
    unreadable: Object.fromEntries(own.filter((answer) => answer.error).map(({ name, error }) => [name, error])),
  };
  const blob = new Blob([JSON.stringify(content, null, 2)], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "answers.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function readSample() {
  const response = await fetch("drawn-people.png");
  if (!response.ok) throw new Error("The drawn people could not be loaded.");
  await read([new File([await response.blob()], "drawn people.png", { type: "image/png" })]);
}

async function startCamera() {
  await ready;
  await camera.start();
  find("camera").hidden = false;
  find("camera-take").focus();
}

function stopCamera() {
  camera.stop();
  find("camera").hidden = true;
  find("camera-start").focus();
}

/** Runs what a button does and shows its error. */
const attempt = (action) => () => action().catch((error) => say(error.message, true));

function listen() {
  const files = find("files");
  files.addEventListener("change", async () => {
    await read(files.files);
    files.value = ""; // The same photo may be chosen again.
  });
  find("sample").onclick = attempt(readSample);
  find("camera-start").onclick = attempt(startCamera);
  find("camera-stop").onclick = stopCamera;
  find("camera-take").onclick = attempt(async () => read([new File([await camera.take()], "camera.png")]));
  find("save").onclick = save;
  find("clear").onclick = () => [...answers.keys()].forEach((card) => card.querySelector(".close").click());
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) read(clipboardData.files);
  });
  listenToDrops(find("drop"));
}

/** Photos may be dropped anywhere: a browser would leave the page for a photo that misses the field. */
function listenToDrops(field) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    field.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) field.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    field.classList.remove("over");
    if (event.dataTransfer.files.length) read(event.dataTransfer.files);
  });
}

listen();
const ready = open();
ready.catch((error) => say(`The networks could not be loaded: ${error.message}`, true));
