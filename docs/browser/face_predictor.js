/**
 * Finds the faces of a photo and decides each: `maskfit.inference.face_predictor`.
 *
 * @typedef {{width: number, height: number, found: number, leftOut: number, note: string | null,
 *   faces: {box: number[] | null, score: number | null, decisions: import("./decisions.js").Decision[]}[]}} Prediction
 */

import { area } from "./geometry.js";

/**
 * Makes a face predictor.
 *
 * @param {ReturnType<import("./detector.js").makeDetector>} detect
 * @param {ReturnType<import("./classifier.js").makeClassifier>} classify
 * @param {{maxFaces: number, minFaceSide: number, maxPixels: number, noFaceNote: string,
 *   minFace?: Record<string, number>}} limits `minFace`: shorter side of a face in pixels below which an attribute is not
 *   sure.
 * @returns {(photo: import("./resample.js").Pixels) => Promise<Prediction>} The faces, the largest first; where none
 *   is found, the whole photo as one, "not sure".
 */
export function makeFacePredictor(detect, classify, limits) {
  return async (photo) => {
    const { width, height } = photo;
    if (Math.min(width, height) < limits.minFaceSide) {
      throw new Error(`${width} × ${height} pixels are too few for a face.`);
    }
    const detected = await detect(photo);
    const faces = detected
      .filter(({ box }) => shorterSide(box) >= limits.minFaceSide)
      .sort((a, b) => area(b.box) - area(a.box))
      .slice(0, limits.maxFaces);
    const leftOut = detected.length - faces.length;
    // Where there are faces, only too small, the whole photo is none.
    const regions = faces.length || leftOut ? faces : [{ box: null, score: null }];
    const decisions = await classify(photo, regions.map(({ box }) => box));
    return {
      width,
      height,
      found: faces.length,
      leftOut,
      note: regions.length === faces.length ? null : limits.noFaceNote,
      // The whole of a photo without a face has probabilities, but nothing says that they are of a face.
      faces: regions.map((region, index) => ({
        ...region,
        decisions: decisions[index].map((decision) => {
          const isTooSmall = faces.length > 0 && shorterSide(region.box) < (limits.minFace?.[decision.attribute] ?? 0);
          if (isTooSmall) return { ...decision, sure: false, tooSmall: true };
          return faces.length ? decision : { ...decision, sure: false };
        }),
      })),
    };
  };
}

function shorterSide(box) {
  return Math.min(box[2] - box[0], box[3] - box[1]);
}
