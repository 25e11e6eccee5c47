// Writes detector.npz's content: what TensorFlow.js makes of two photos with the detector.
//
//   npm install @tensorflow/tfjs@4
//   node make.mjs PACKAGE PIXELS RESULT
//
// PACKAGE is the unpacked folder of the detector (model.json and its shards), see
// contrib/embedded_model.py. PIXELS has the photos, uint8, shape (N, 300, 300, 3); RESULT gets
// float32: for each photo the boxes, shape (1917, 4), then the scores, shape (1917, 91).
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import tf from "@tensorflow/tfjs";

const [folder, pixelsFile, resultFile] = process.argv.slice(2);
const description = JSON.parse(readFileSync(join(folder, "model.json"), "utf8"));
const [group] = description.weightsManifest;
const data = Buffer.concat(group.paths.map((path) => readFileSync(join(folder, path))));
const model = await tf.loadGraphModel({
  load: async () => ({
    modelTopology: description.modelTopology,
    weightSpecs: group.weights,
    weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
  }),
});
const pixels = readFileSync(pixelsFile);
const size = 300 * 300 * 3;
const results = [];
for (let start = 0; start < pixels.length; start += size) {
  const image = tf.tensor(Float32Array.from(pixels.subarray(start, start + size)), [1, 300, 300, 3]);
  const input = image.mul(2 / 255).sub(1);
  const [boxes, scores] = model.execute({ "Preprocessor/sub": input }, [
    "Postprocessor/Decode/transpose_1",
    "Postprocessor/convert_scores",
  ]);
  results.push(Buffer.from(boxes.dataSync().buffer), Buffer.from(scores.dataSync().buffer));
}
writeFileSync(resultFile, Buffer.concat(results));
