/**
 * The page's side of the worker: one request after the other, so that one photo is in memory at a time.
 *
 * The worker is started from a blob that only imports it. A worker from an address obeys the policy of that address'
 * response alone, which a static host does not send; one from a blob inherits this page's, so that its networks can
 * send nothing either.
 */

/** @typedef {import("./face_predictor.js").Prediction} Prediction */

export class Client {
  #worker;
  #pending = new Map();
  #last = Promise.resolve();
  #count = 0;

  constructor() {
    const code = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
    const address = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    this.#worker = new Worker(address, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failAll(event.message || "a part of this page could not be loaded");
    };
  }

  /**
   * Loads the networks.
   *
   * @param {(loaded: number) => void} report Called with the bytes that are loaded.
   * @returns {Promise<{settings: object, metadata: object, bytes: number}>}
   */
  open(report) {
    return this.#ask("open", null, report);
  }

  /**
   * Predicts the faces of a photo.
   *
   * @param {Blob | ImageBitmap} source A file, or a picture of the camera, which is given away.
   * @returns {Promise<Prediction>}
   */
  predict(source) {
    const answer = this.#last.then(() => this.#ask("predict", source));
    this.#last = answer.catch(() => {});
    return answer;
  }

  #ask(kind, source, report) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, report });
      this.#worker.postMessage({ id, kind, source }, source instanceof ImageBitmap ? [source] : []);
    });
  }

  #receive({ id, result, error, loaded }) {
    const waiting = this.#pending.get(id);
    if (loaded !== undefined) {
      waiting.report(loaded);
      return;
    }
    this.#pending.delete(id);
    if (error === undefined) waiting.resolve(result);
    else waiting.reject(new Error(error));
  }

  #failAll(message) {
    for (const { reject } of this.#pending.values()) reject(new Error(message));
    this.#pending.clear();
  }
}
