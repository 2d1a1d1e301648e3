/** The camera: a live picture with boxes, and photos of it. */

import { drawMarks } from "./overlay.js";
import { makeMarks } from "./results.js";

export class Camera {
  #stream = null;
  #video;
  #client;
  #settings;

  /**
   * @param {HTMLVideoElement} video
   * @param {import("./client.js").Client} client
   * @param {object} settings
   */
  constructor(video, client, settings) {
    this.#video = video;
    this.#client = client;
    this.#settings = settings;
  }

  /**
   * Asks for the camera and shows its picture with boxes until `stop`.
   *
   * @throws {Error} There is none, or its use is not allowed.
   */
  async start() {
    if (!navigator.mediaDevices) throw new Error("The camera needs a page over https or on localhost.");
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#watch(this.#stream);
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
  }

  /** @returns {Promise<Blob>} The picture of now as a PNG, so that it is kept to the pixel. */
  take() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.#video.videoWidth, this.#video.videoHeight];
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  /** One picture after the other: the next is taken when the last one's boxes are drawn. */
  async #watch(stream) {
    let remove = () => {};
    while (stream === this.#stream) {
      const frame = await createImageBitmap(this.#video);
      const prediction = await this.#client.predict(frame).catch(() => null);
      remove();
      remove = () => {};
      if (stream === this.#stream && prediction) {
        remove = drawMarks(this.#video.parentElement, prediction, makeMarks(prediction, this.#settings));
      }
      await new Promise(requestAnimationFrame);
    }
    remove();
  }
}
