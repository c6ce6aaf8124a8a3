// npm dicomweb-client does every transaction it has against a running archive; what came of each is told as JSON.
//
//     node dicomweb_client.mjs <dicomweb-client.js> '{"url", "study", "series", "instance", "files": [...]}'
//
// The client is written for browsers. All that Node lacks of one is XMLHttpRequest, so as much of it as the client
// uses is made of fetch here.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

class Request {
  readyState = 0;
  status = 0;
  response = null;
  responseType = "";
  withCredentials = false;
  #headers = {};
  #answered = new Headers();

  open(method, url) {
    this.method = method.toUpperCase();
    this.url = url;
    this.readyState = 1;
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  getResponseHeader(name) {
    return this.#answered.get(name);
  }

  getAllResponseHeaders() {
    return [...this.#answered].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  }

  async send(body) {
    const answer = await fetch(this.url, { method: this.method, headers: this.#headers, body });
    const content = await answer.arrayBuffer();
    this.#answered = answer.headers;
    this.status = answer.status;
    const text = () => new TextDecoder().decode(content);
    if (this.responseType === "arraybuffer") this.response = content;
    else if (this.responseType === "json") this.response = content.byteLength ? JSON.parse(text()) : null;
    else this.response = text();
    this.onprogress?.({ loaded: content.byteLength });
    this.readyState = 4;
    this.onreadystatechange?.();
  }
}
globalThis.XMLHttpRequest = Request;

const [place, text] = process.argv.slice(2);
const { api } = createRequire(import.meta.url)(place);
const { url, study, series, instance, files } = JSON.parse(text);
const client = new api.DICOMwebClient({ url, verbose: false });
const single = new api.DICOMwebClient({ url, verbose: false, singlepart: true });
const one = { studyInstanceUID: study, seriesInstanceUID: series, sopInstanceUID: instance };
const queryParams = (found) => ({ queryParams: found });
const told = {};

// An array buffer as its length, its first bytes and its digest; arrays and objects with these inside.
function summary(value) {
  if (value instanceof ArrayBuffer) {
    const bytes = Buffer.from(value);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { length: bytes.length, head: bytes.subarray(0, 12).toString("hex"), part10: bytes.subarray(128, 132).toString("latin1"), sha256 };
  }
  return Array.isArray(value) && value[0] instanceof ArrayBuffer ? value.map(summary) : value;
}

async function does(name, work) {
  try {
    told[name] = summary(await work());
  } catch (error) {
    told[name] = { failed: error.message, status: error.status ?? null };
  }
}

// STOW-RS first: everything else is about what it brought.
const datasets = [];
for (const file of files) {
  const bytes = await readFile(file);
  datasets.push(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}
await does("storeInstances", async () => JSON.parse(await client.storeInstances({ datasets })));
await does("storeInstances in a study", async () =>
  JSON.parse(await client.storeInstances({ datasets: datasets.slice(0, 1), studyInstanceUID: study })));

// QIDO-RS.
await does("searchForStudies", () => client.searchForStudies(queryParams({ StudyInstanceUID: study, includefield: "all" })));
await does("searchForStudies fuzzily", () => client.searchForStudies(queryParams({ PatientName: "Miller", fuzzymatching: true, limit: 1 })));
await does("searchForStudies of nobody", () => client.searchForStudies(queryParams({ PatientID: "NOBODY" })));
await does("searchForSeries", () => client.searchForSeries({ studyInstanceUID: study }));
await does("searchForSeries everywhere", () => client.searchForSeries(queryParams({ Modality: "CT" })));
await does("searchForInstances", () => client.searchForInstances(queryParams({ SOPInstanceUID: instance })));
await does("searchForInstances of a study", () => client.searchForInstances({ studyInstanceUID: study }));
await does("searchForInstances of a series", () => client.searchForInstances({ studyInstanceUID: study, seriesInstanceUID: series }));

// WADO-RS.
await does("retrieveStudyMetadata", () => client.retrieveStudyMetadata(one));
await does("retrieveSeriesMetadata", () => client.retrieveSeriesMetadata(one));
await does("retrieveInstanceMetadata", () => client.retrieveInstanceMetadata(one));
await does("retrieveStudy", () => client.retrieveStudy(one));
await does("retrieveSeries", () => client.retrieveSeries(one));
await does("retrieveInstance", () => client.retrieveInstance(one));
// (With `mediaTypes` this version of the client refuses its own, before it asks anybody.)
const frames = { ...one, frameNumbers: [1] };
await does("retrieveInstanceFrames", () => client.retrieveInstanceFrames(frames));
for (const mediaType of ["image/jls", "image/x-jls", "image/jp2", "image/x-dicom-rle", "application/octet-stream"])
  await does(`retrieveInstanceFrames ${mediaType}`, () => client.retrieveInstanceFrames({ ...frames, mediaTypes: [{ mediaType }] }));
await does("retrieveInstanceFrames as stored", () =>
  client.retrieveInstanceFrames({ ...frames, mediaTypes: [
    { mediaType: "application/octet-stream", transferSyntaxUID: "1.2.840.10008.1.2.1" },
    { mediaType: "image/jls", transferSyntaxUID: "1.2.840.10008.1.2.4.80" }] }));
const metadata = await client.retrieveInstanceMetadata(one);
const BulkDataURI = metadata[0]["7FE00010"].BulkDataURI;
await does("retrieveBulkData", () => client.retrieveBulkData({ BulkDataURI }));
await does("retrieveBulkData of a range", () => client.retrieveBulkData({ BulkDataURI, byteRange: [4, 9] }));
await does("retrieveBulkData as a single part", () => single.retrieveBulkData({ BulkDataURI, headers: { Accept: "application/octet-stream" } }));

// Rendered, thumbnails, WADO-URI.
await does("retrieveInstanceRendered", () => client.retrieveInstanceRendered(one));
for (const mediaType of ["image/jpeg", "image/png", "image/gif", "image/jp2"])
  await does(`retrieveInstanceRendered ${mediaType}`, () =>
    client.retrieveInstanceRendered({ ...one, mediaTypes: [{ mediaType }], queryParams: { window: "100,400,linear", viewport: "16,16" } }));
await does("retrieveInstanceFramesRendered", () => client.retrieveInstanceFramesRendered({ ...frames, mediaTypes: [{ mediaType: "image/png" }] }));
await does("retrieveInstanceThumbnail", () => client.retrieveInstanceThumbnail(one));
await does("retrieveInstanceThumbnail image/png", () => client.retrieveInstanceThumbnail({ ...one, mediaTypes: [{ mediaType: "image/png" }] }));
console.debug = () => {};
await does("retrieveInstanceFramesThumbnail", () => client.retrieveInstanceFramesThumbnail({ ...frames, queryParams: { viewport: "8,8" } }));
const wado = new api.DICOMwebClient({ url, wadoURLPrefix: "wado", verbose: false });
await does("buildInstanceWadoURIUrl", async () => (await fetch(wado.buildInstanceWadoURIUrl(one))).arrayBuffer());

// What cannot be had is an error with its status.
await does("an unknown instance", () => client.retrieveInstance({ ...one, sopInstanceUID: "1.2.3" }));
console.log(JSON.stringify(told));
