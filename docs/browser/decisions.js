/**
 * From a network's logits to one answer for each attribute, which may be "not sure": `maskfit.labels.schema`,
 * `maskfit.calibration` and `maskfit.inference.decisions`, with the numbers of the model file.
 *
 * @typedef {{name: string, values: string[], displayNames: string[], parents: number[]}} Attribute `values` as they are
 *   scored; `parents` has the scored value of each of the network's own.
 * @typedef {{attribute: string, value: string, displayName: string, index: number, probability: number, sure: boolean,
 *   probabilities: Record<string, number>, names: string[], tooSmall?: boolean}} Decision `names` are the values' names
 *   for people; `tooSmall`: not sure because the face has too few pixels.
 */

const JOINT_HEAD = "joint";
const MIN_PROBABILITY = 1e-12;

/**
 * @param {object} metadata Result of `readModelMetadata`.
 * @returns {Attribute[]}
 */
export function scoredAttributes(metadata) {
  return metadata.label_schema.attributes.map(({ name, values, display_names: names, parent_of: parents }) => {
    if (!parents.length) {
      return { name, values, displayNames: names.length ? names : values, parents: values.map((_, index) => index) };
    }
    const scored = [...new Set(parents)];
    return { name, values: scored, displayNames: scored, parents: parents.map((parent) => scored.indexOf(parent)) };
  });
}

/**
 * Decides every attribute of one face.
 *
 * @param {object} metadata Result of `readModelMetadata`.
 * @param {Record<string, ArrayLike<number>>} logits By head: each attribute, or "joint" alone.
 * @returns {Decision[]} In the schema's order.
 */
export function decide(metadata, logits) {
  const attributes = scoredAttributes(metadata);
  const { temperatures = {}, abstain_below: thresholds = {}, decisions = {} } = metadata.calibration ?? {};
  const rows = logits[JOINT_HEAD]
    ? jointMarginals(attributes, logits[JOINT_HEAD], temperatures)
    : attributes.map((attribute) => {
        const merged = new Array(attribute.values.length).fill(0);
        softmax(logits[attribute.name]).forEach((value, index) => (merged[attribute.parents[index]] += value));
        return calibrate(merged, temperatures[attribute.name]);
      });
  const weights = decisions["macro-f1"]?.weights ?? {};
  return attributes.map((attribute, index) =>
    decideOne(attribute, rows[index], thresholds[attribute.name] ?? 0, weights[attribute.name]),
  );
}

function decideOne(attribute, probabilities, threshold, weights) {
  const weighted = probabilities.map((value, index) => value * (weights ? weights[index] : 1));
  const index = weighted.indexOf(Math.max(...weighted));
  return {
    attribute: attribute.name,
    value: attribute.values[index],
    displayName: attribute.displayNames[index],
    index,
    probability: probabilities[index],
    sure: probabilities[index] >= threshold,
    probabilities: Object.fromEntries(attribute.values.map((value, own) => [value, probabilities[own]])),
    names: attribute.displayNames,
  };
}

/** One head over all combinations; the class is the mixed-radix number of the values, the first the most significant. */
function jointMarginals(attributes, logits, temperatures) {
  const scoredClasses = attributes.reduce((product, attribute) => product * attribute.values.length, 1);
  const joint = new Array(scoredClasses).fill(0);
  softmax(logits).forEach((value, number) => {
    let rest = number;
    let factor = 1;
    let scored = 0;
    for (const { parents, values } of [...attributes].reverse()) {
      scored += parents[rest % parents.length] * factor;
      rest = Math.floor(rest / parents.length);
      factor *= values.length;
    }
    joint[scored] += value;
  });
  const calibrated = calibrate(joint, temperatures[JOINT_HEAD]);
  let factor = scoredClasses;
  return attributes.map(({ values }) => {
    factor /= values.length;
    const sums = new Array(values.length).fill(0);
    calibrated.forEach((value, number) => (sums[Math.floor(number / factor) % values.length] += value));
    return sums;
  });
}

/** Divides the logarithms of probabilities by a temperature; without one they stay as they are. */
function calibrate(probabilities, temperature) {
  if (temperature === undefined) return probabilities;
  return softmax(probabilities.map((value) => Math.log(Math.max(value, MIN_PROBABILITY)) / temperature));
}

function softmax(logits) {
  const values = Array.from(logits);
  const highest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}
