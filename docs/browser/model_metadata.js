/**
 * Reads what an exported model says of itself: the text under "maskfit" in the ONNX file's metadata.
 *
 * The file itself is read, and not a copy of its metadata beside it, so that labels, temperatures and thresholds always
 * belong to the weights. The outermost message is a protobuf `ModelProto`; of its fields only `metadata_props` (14) is
 * looked at, whose entries hold a key (1) and a value (2).
 */

const METADATA_PROPS = 14;
const [VARINT, FIXED64, LENGTH_DELIMITED, FIXED32] = [0, 1, 2, 5];

/**
 * @param {Uint8Array} file An ONNX file.
 * @returns {object} The metadata of `maskfit.model_file.ModelMetadata`.
 * @throws {Error} It is no ONNX file, or none that maskfit exported.
 */
export function readModelMetadata(file) {
  let text;
  try {
    text = readProperties(file).get("maskfit");
  } catch (error) {
    throw new Error(`This is not an ONNX file: ${error.message}.`);
  }
  if (text === undefined) throw new Error("This ONNX file was not exported by maskfit.");
  return JSON.parse(text);
}

function readProperties(file) {
  const decoder = new TextDecoder();
  const properties = new Map();
  for (const [number, start, stop] of iterateFields(file, 0, file.length)) {
    if (number !== METADATA_PROPS) continue;
    const entry = ["", "", ""];
    for (const [field, first, last] of iterateFields(file, start, stop)) {
      if (field === 1 || field === 2) entry[field] = decoder.decode(file.subarray(first, last));
    }
    properties.set(entry[1], entry[2]);
  }
  return properties;
}

/** Yields number, start and end of each length-delimited field; numbers are skipped. */
function* iterateFields(file, start, stop) {
  let position = start;
  while (position < stop) {
    const [tag, begin] = readVarint(file, position);
    const type = tag % 8;
    let length = 0;
    let content = begin;
    if (type === LENGTH_DELIMITED) [length, content] = readVarint(file, begin);
    else if (type === VARINT) [, content] = readVarint(file, begin);
    else if (type === FIXED64 || type === FIXED32) length = type === FIXED64 ? 8 : 4;
    else throw new Error("unknown wire type");
    position = content + length;
    if (position > stop || tag < 8) throw new Error("a field has no number or exceeds its message");
    if (type === LENGTH_DELIMITED) yield [Math.floor(tag / 8), content, position];
  }
}

/** Seven bits a byte, the lowest first. Multiplied and not shifted: lengths and tags may exceed 32 bits. */
function readVarint(file, position) {
  let value = 0;
  for (let count = 0; count < 10; count++) {
    const byte = file[position + count];
    if (byte === undefined) throw new Error("it is truncated");
    value += (byte & 127) * 128 ** count;
    if (byte < 128) return [value, position + count + 1];
  }
  throw new Error("a number is longer than 64 bits");
}
