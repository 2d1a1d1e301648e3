/** The answers of a photo as a card, as words and as JSON. */

import { cssColor, drawMarks } from "./overlay.js";

/** Faces from which on the cards stand beside a smaller picture, and below it. */
const TALL = 3;
const CROWD = 9;
/** Side of a face's thumbnail in pixels; shown at half of it. */
const THUMBNAIL = 144;

/**
 * Makes an element.
 *
 * @param {string} name
 * @param {object} [properties]
 * @param {...(Node | string)} children
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** "1 face", "2 faces". */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

export function percent(probability) {
  return `${Math.round(100 * probability)} %`;
}

/** "worn 97 %", or "not sure (worn 51 %)". */
export function answerText(decision, settings) {
  if (decision.sure) {
    return `${decision.displayName} ${percent(decision.probability)}`;
  }
  // Rounded down: 94.7 % beside a threshold of 95 % would look like one that reaches it.
  const share = Math.floor(100 * decision.probability + 1e-9);
  return `${settings.words.notSure} (${decision.displayName} ${share} %${reason(decision)})`;
}

/** Why a decision is not sure although its probability is high: ", face too small"; else "". */
function reason({ tooSmall }) {
  return tooSmall ? ", face too small" : "";
}

/** How many faces have which answer of the first attribute: "2 worn, 1 not sure". */
export function tally(faces, settings) {
  const counts = new Map();
  for (const { decisions } of faces) {
    const word = decisions[0].sure ? decisions[0].displayName : settings.words.notSure;
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return [...counts].map(([word, number]) => `${number} ${word}`).join(", ");
}

/** Text and background color of a decision: by the value, gray where the model is not sure. */
export function decisionColor(decision, { colors }) {
  return decision.sure ? colors.values[decision.index % colors.values.length] : colors.notSure;
}

/**
 * The marks of a prediction, for `drawMarks`.
 *
 * @param {import("./face_predictor.js").Prediction} prediction
 * @param {object} settings
 */
export function makeMarks(prediction, settings) {
  return prediction.faces
    .map(({ box, decisions: [first] }, index) => ({
      box,
      number: index + 1,
      word: first.sure ? first.displayName : settings.words.notSure,
      color: decisionColor(first, settings),
      sure: first.sure,
    }))
    .filter(({ box }) => box);
}

/**
 * A prediction as `maskfit predict --json` prints it.
 *
 * @param {string} name
 * @param {import("./face_predictor.js").Prediction} prediction
 * @param {object} settings
 */
export function toJson(name, { width, height, found, leftOut, note, faces }, settings) {
  return {
    photo: name,
    width,
    height,
    found,
    left_out: leftOut,
    note,
    faces: faces.map(({ box, score, decisions }) => ({
      box: box && box.map((edge) => Math.round(edge * 10) / 10),
      score,
      ...Object.fromEntries(
        decisions.map(({ attribute, value, probability, sure, probabilities, tooSmall }) => [
          attribute,
          {
            answer: sure ? value : settings.words.notSure,
            value,
            probability,
            sure,
            probabilities,
            ...(tooSmall ? { too_small: true } : {}),
          },
        ]),
      ),
    })),
  };
}

/**
 * The card of a photo that could not be read.
 *
 * @param {string} name
 * @param {string} message
 * @param {() => void} onClose
 */
export function makeFailure(name, message, onClose) {
  const title = element("h2", { textContent: name });
  const reason = element("p", { className: "failed", textContent: message });
  return element("article", { className: "photo" }, makeHeader(title, reason, name, onClose));
}

/**
 * The card of a photo.
 *
 * @param {string} name
 * @param {import("./face_predictor.js").Prediction} prediction
 * @param {HTMLImageElement} image The photo, loaded.
 * @param {{settings: object, metadata: object}} opened
 * @param {() => void} onClose
 */
export function makeCard(name, prediction, image, { settings, metadata }, onClose) {
  const { faces, found, leftOut, note } = prediction;
  const nothing = leftOut ? "no face that is large enough" : "no face found";
  const facts = [found ? `${count(found, "face")}: ${tally(faces, settings)}` : nothing];
  if (leftOut) facts.push(`${count(leftOut, "smaller face")} not predicted`);
  facts.push(`${prediction.width} × ${prediction.height}`);
  const header = makeHeader(
    element("h2", { textContent: name }),
    element("p", { textContent: facts.join(" · ") }),
    name,
    onClose,
  );
  image.alt = `Photo ${name}: ${facts[0]}`;
  const picture = element("figure", { className: "picture" }, image);
  const list = element("ol", { className: "faces" });
  const layout = element("div", { className: "layout" }, picture, list);
  const size = found < TALL ? "solo" : found < CROWD ? "tall" : "crowd";
  const card = element("article", { className: `photo ${size}` }, header);
  if (note) card.append(element("p", { className: "note", textContent: `${capitalize(note)}.` }));
  card.append(layout);
  const thresholds = metadata.calibration?.abstain_below ?? {};
  faces.forEach((face, index) => list.append(makeFace(face, index + 1, image, prediction, thresholds, settings)));
  connect(picture, list, prediction, settings);
  return card;
}

function makeHeader(title, text, name, onClose) {
  const close = element("button", { type: "button", className: "close", textContent: "×", onclick: onClose });
  close.setAttribute("aria-label", `Remove ${name}`);
  return element("header", {}, element("div", {}, title, text), close);
}

function capitalize(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Pointing at a box marks its card, and the other way around. */
function connect(picture, list, prediction, settings) {
  const mark = (number, isActive) => {
    picture.querySelector(`[data-number="${number}"]`)?.classList.toggle("active", isActive);
    list.children[number - 1].classList.toggle("active", isActive);
  };
  drawMarks(picture, prediction, makeMarks(prediction, settings), (number, isActive, isClick) => {
    mark(number, isActive);
    if (isClick) list.children[number - 1].scrollIntoView({ behavior: "smooth", block: "nearest" });
  });
  [...list.children].forEach((item, index) => {
    for (const [event, isActive] of Object.entries({
      pointerenter: true,
      pointerleave: false,
      focusin: true,
      focusout: false,
    })) {
      item.addEventListener(event, () => mark(index + 1, isActive));
    }
  });
}

function makeFace({ box, decisions }, number, image, photo, thresholds, settings) {
  const item = element("li", { className: box ? "face" : "face whole" });
  if (box) item.append(makeThumbnail(box, number, image, photo, decisions[0], settings));
  const answers = element("dl", { className: "answers" });
  decisions.forEach((decision, index) => {
    // Colors belong to the values of the first attribute; the others' bars only have a length.
    const color = index ? null : decisionColor(decision, settings)[0];
    answers.append(makeAnswer(decision, thresholds[decision.attribute], color, settings));
  });
  item.append(answers, makeProbabilities(decisions));
  return item;
}

/** The face with some of its surroundings, and its number. */
function makeThumbnail(box, number, image, photo, first, settings) {
  const canvas = element("canvas", { width: THUMBNAIL, height: THUMBNAIL });
  canvas.setAttribute("aria-hidden", "true");
  const side = 1.25 * Math.max(box[2] - box[0], box[3] - box[1]);
  const [x, y] = [(box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2];
  const scale = [image.naturalWidth / photo.width, image.naturalHeight / photo.height];
  canvas
    .getContext("2d")
    .drawImage(image, x * scale[0], y * scale[1], side * scale[0], side * scale[1], 0, 0, THUMBNAIL, THUMBNAIL);
  const badge = element("span", { className: "number", textContent: number });
  const [background, text] = decisionColor(first, settings);
  badge.style.background = cssColor(background);
  badge.style.color = cssColor(text);
  return element("div", { className: "thumb" }, canvas, badge);
}

/** An attribute: its answer, the probability, and a bar with a tick at the threshold. */
function makeAnswer(decision, threshold, color, settings) {
  const { attribute, displayName, probability, sure } = decision;
  const word = sure ? displayName : `${settings.words.notSure} (${displayName}${reason(decision)})`;
  const bar = element("div", { className: "bar" }, element("i"));
  bar.setAttribute("aria-hidden", "true");
  bar.firstChild.style.width = `${100 * probability}%`;
  if (color) bar.firstChild.style.background = cssColor(color);
  if (threshold) {
    const tick = element("b", { title: `“${settings.words.notSure}” below ${percent(threshold)}` });
    tick.style.left = `${100 * threshold}%`;
    bar.append(tick);
  }
  return element(
    "div",
    {},
    element("dt", { textContent: attribute }),
    element("dd", { className: sure ? "value" : "value unsure", textContent: word }),
    element("dd", { className: "percent", textContent: percent(probability) }),
    bar,
  );
}

function makeProbabilities(decisions) {
  const table = element("table");
  for (const { attribute, probabilities, names } of decisions) {
    const head = element("th", { textContent: attribute, colSpan: 2, scope: "rowgroup" });
    const rows = Object.entries(probabilities).map(([value, probability], index) =>
      element(
        "tr",
        {},
        element("td", { textContent: names[index] ?? value }),
        element("td", { textContent: `${(100 * probability).toFixed(1)} %` }),
      ),
    );
    table.append(element("tbody", {}, element("tr", {}, head), ...rows));
  }
  return element("details", {}, element("summary", { textContent: "All probabilities" }), table);
}
