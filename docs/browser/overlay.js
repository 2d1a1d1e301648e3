/**
 * Boxes over a picture, each with a tag: number and word where there is room, else the number alone.
 *
 * @typedef {{box: import("./resample.js").Box, number: number, word: string, color: [number[], number[]],
 *   sure: boolean}} Mark
 */

import { area } from "./geometry.js";

/**
 * Draws marks over a picture; drawn again whenever the picture's size on the screen changes.
 *
 * @param {HTMLElement} picture The element around an image or video, which it fills.
 * @param {{width: number, height: number}} size Of the photo in its own pixels.
 * @param {Mark[]} marks
 * @param {(number: number, isActive: boolean, isClick: boolean) => void} [onPoint] Called when a box is pointed at.
 * @returns {() => void} Removes the marks.
 */
export function drawMarks(picture, size, marks, onPoint = () => {}) {
  const boxes = marks.map((mark) => makeBox(mark, size));
  const tags = marks.map((mark) => makeTag(mark));
  boxes.forEach((box, index) => {
    const { number } = marks[index];
    box.dataset.number = number;
    box.addEventListener("pointerenter", () => onPoint(number, true, false));
    box.addEventListener("pointerleave", () => onPoint(number, false, false));
    box.addEventListener("click", () => onPoint(number, true, true));
  });
  picture.append(...boxes, ...tags);
  const observer = new ResizeObserver(() => placeTags(picture, size, marks, tags));
  observer.observe(picture);
  return () => {
    observer.disconnect();
    for (const element of [...boxes, ...tags]) element.remove();
  };
}

export function cssColor(color) {
  return `rgb(${color.join(" ")})`;
}

function makeBox({ box, color, sure }, { width, height }) {
  const element = document.createElement("div");
  element.className = sure ? "box" : "box unsure";
  element.setAttribute("aria-hidden", "true"); // The list beside the picture says the same.
  // A face may extend beyond the photo.
  const [left, upper, right, lower] = box.map((edge, side) => {
    const share = edge / (side % 2 ? height : width);
    return 100 * Math.min(Math.max(share, 0), 1);
  });
  Object.assign(element.style, {
    left: `${left}%`,
    top: `${upper}%`,
    width: `${right - left}%`,
    height: `${lower - upper}%`,
    borderColor: cssColor(color[0]),
  });
  return element;
}

function makeTag({ color }) {
  const element = document.createElement("span");
  element.className = "tag";
  element.setAttribute("aria-hidden", "true");
  element.style.background = cssColor(color[0]);
  element.style.color = cssColor(color[1]);
  return element;
}

/** Gives every tag a text and a place where it covers no other face and no other tag, the largest face first. */
function placeTags(picture, size, marks, tags) {
  const bounds = { width: picture.clientWidth, height: picture.clientHeight };
  if (!bounds.width) return;
  const scale = [bounds.width / size.width, bounds.height / size.height];
  const faces = marks.map(({ box }) => box.map((edge, side) => edge * scale[side % 2]));
  const order = faces.map((_, index) => index).sort((a, b) => area(faces[b]) - area(faces[a]));
  const placed = [];
  for (const index of order) {
    const obstacles = [...faces.filter((_, other) => other !== index), ...placed];
    const { number, word } = marks[index];
    const found = [`${number} ${word}`, `${number}`].some((text) => {
      tags[index].hidden = false;
      tags[index].textContent = text;
      const place = findPlace(faces[index], tags[index], bounds, obstacles);
      if (!place) return false;
      placed.push(place);
      tags[index].style.left = `${place[0]}px`;
      tags[index].style.top = `${place[1]}px`;
      return true;
    });
    tags[index].hidden = !found;
  }
}

/** The first of a few places around a face that is inside the picture and free. */
function findPlace([left, upper, right, lower], tag, bounds, obstacles) {
  const { offsetWidth: width, offsetHeight: height } = tag;
  const limit = bounds.width - width;
  const inside = (x) => Math.min(Math.max(x, 0), limit);
  const places = [
    [inside(left), upper - height - 2],
    [inside(right - width), upper - height - 2],
    [inside(left), lower + 2],
    [inside(left + 3), Math.max(upper, 0) + 3],
    [inside(right + 2), upper],
    [inside(left - width - 2), upper],
  ].map(([x, y]) => [x, y, x + width, y + height]);
  return places.find(
    (place) =>
      limit >= 0 &&
      place[1] >= 0 &&
      place[3] <= bounds.height &&
      !obstacles.some(
        (other) => place[0] < other[2] && other[0] < place[2] && place[1] < other[3] && other[1] < place[3],
      ),
  );
}
