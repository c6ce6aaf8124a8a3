// Uploads: files and folders dropped anywhere. DICOM files go by STOW-RS in small groups; archives (ZIP) and what is
// large go in pieces that are taken up where they broke off, after a reload, too (resume.js).
import { ask, body, element, failed, say, texts, toast } from './shell.js';
import { batch, begin, forget, placeOf, setPlace } from './resume.js';

const GROUP_FILES = 20;
const GROUP_BYTES = 24 << 20;
const PIECE = 8 << 20;

async function* within(entry) {
  if (entry.isFile) {
    yield await new Promise((resolve, reject) => entry.file(resolve, reject));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const found = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!found.length) return;
    for (const each of found) yield* within(each);
  }
}

const isDicom = async file => file.size > 132 && (await file.slice(128, 132).text()) === 'DICM';

function sendGroup(group, moved, aborted) {
  const edge = `vesalius-${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}`;
  const parts = group.flatMap(file => [`--${edge}\r\nContent-Type: application/dicom\r\n\r\n`, file, '\r\n']);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', `${body.dicomWeb}/studies`);
    request.setRequestHeader('Content-Type', `multipart/related; type="application/dicom"; boundary=${edge}`);
    request.setRequestHeader('Accept', 'application/dicom+json');
    request.upload.onprogress = event => moved(event.loaded);
    request.onload = () => {
      let told = {};
      try {
        told = JSON.parse(request.responseText);
      } catch { /* no words */ }
      if (told['00081199'] || told['00081198']) resolve(told);
      else reject(new Error(told.detail || request.statusText || texts.offline));
    };
    request.onerror = () => reject(new Error(texts.offline));
    request.onabort = () => reject(new DOMException('', 'AbortError'));
    aborted.addEventListener('abort', () => request.abort(), { once: true });
    request.send(new Blob([...parts, `--${edge}--\r\n`]));
  });
}

const told = async answer => new Error((await answer.json().catch(() => ({}))).detail ?? texts.offline);

// Where an upload of this file goes on, or a new one: its address and how much of it is there.
async function place(file, signal) {
  const at = placeOf(file);
  if (at) {
    const known = await fetch(at, { method: 'HEAD', signal });
    if (known.ok) return { at, offset: Number(known.headers.get('Upload-Offset')) };
  }
  const made = await fetch(`${body.api}/uploads`, {
    method: 'POST',
    headers: { 'Upload-Length': String(file.size), 'Upload-Name': encodeURIComponent(file.name) },
    signal,
  });
  if (!made.ok) throw await told(made);
  const created = new URL(made.headers.get('Location')).pathname;
  setPlace(file, created);
  return { at: created, offset: 0 };
}

async function sendPieces(file, moved, signal) {
  let { at, offset } = await place(file, signal);
  let tries = 0;
  moved(offset);
  while (offset < file.size) {
    try {
      const answer = await fetch(at, {
        method: 'PATCH',
        headers: { 'Upload-Offset': String(offset), 'Content-Type': 'application/octet-stream' },
        body: file.slice(offset, offset + PIECE),
        signal,
      });
      const said = answer.headers.get('Upload-Offset');
      if (!answer.ok && said === null) throw await told(answer);
      offset = Number(said);
      tries = 0;
    } catch (error) {
      if (signal.aborted) {
        setPlace(file, null);
        fetch(at, { method: 'DELETE' }).catch(() => {});
        throw error;
      }
      if (++tries > 5) throw error;
      await new Promise(resolve => setTimeout(resolve, 500 * tries));
      offset = Number((await fetch(at, { method: 'HEAD', signal })).headers.get('Upload-Offset') ?? offset);
    }
    moved(offset);
  }
  moved(offset, say('importing', { name: file.name }));
  for (;;) {
    const answer = await fetch(at, { signal });
    if (!answer.ok) throw await told(answer);
    const state = await answer.json();
    if (state.state !== 'receiving' && state.state !== 'received') {
      setPlace(file, null);
      return state;
    }
    await new Promise(resolve => setTimeout(resolve, 300));
  }
}

// Who and what a study is: its UID says nothing to anybody.
async function nameOf(study) {
  const query = `StudyInstanceUID=${study}&includefield=StudyDescription&includefield=PatientName`;
  const answer = await ask(`${body.dicomWeb}/studies?${query}`, { headers: { Accept: 'application/dicom+json' } });
  const [found] = await answer.json();
  const name = found?.['00100010']?.Value?.[0]?.Alphabetic?.replace(/\^+$/, '').replace('^', ', ').replaceAll('^', ' ');
  return [name, found?.['00081030']?.Value?.[0]].filter(Boolean).join(' · ');
}

let running = 0;
addEventListener('beforeunload', event => {
  if (running) event.preventDefault();
});

async function upload(files) {
  const { transfer } = await import('./actions.js');
  broken?.gone();
  broken = null;
  const known = begin(files);
  const stopped = new AbortController();
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const shown = transfer(say('uploading', { count: files.length }), () => stopped.abort());
  const studies = new Map();
  let done = 0;
  let taken = 0;
  let refused = 0;
  let skipped = 0;
  running += 1;
  const step = (moved, text) => {
    const now = Math.min(total, done + moved);
    shown.step(now, total, text ?? `${Math.round((100 * now) / (total || 1))} %`);
  };
  const refuse = (name, reason) => {
    refused += 1;
    if (refused <= 5) shown.list.append(element('li', { class: 'bad' }, `${name}: ${reason}`));
  };
  const count = uid => {
    const line = studies.get(uid) ?? { count: 0, name: `…${uid.slice(-16)}`, at: shown.list.appendChild(element('li')) };
    const write = () => { line.at.textContent = `${line.name}: ${say('images', { count: line.count })}`; };
    line.count += 1;
    taken += 1;
    write();
    if (!studies.has(uid)) {
      studies.set(uid, line);
      nameOf(uid).then(name => { if (name) { line.name = name; write(); } }).catch(() => {});
    }
  };
  const flush = async group => {
    if (!group.length) return;
    try {
      const answer = await sendGroup(group, step, stopped.signal);
      for (const each of answer['00081199']?.Value ?? []) {
        const address = each['00081190']?.Value?.[0] ?? '';
        count(/\/studies\/([0-9.]+)/.exec(address)?.[1] ?? '?');
      }
      for (const each of answer['00081198']?.Value ?? []) {
        refuse(each['00081155']?.Value?.[0] ?? '', `${texts.refused} (${(each['00081197']?.Value?.[0] ?? 0).toString(16)})`);
      }
      known.add(group);
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      refuse(group[0].name, error.message);
    }
    done += group.reduce((sum, file) => sum + file.size, 0);
    step(0);
  };
  const summary = () => [
    say('images', { count: taken }),
    skipped ? say('skippedCount', { count: skipped }) : '',
    refused ? say('refusedCount', { count: refused }) : '',
  ].filter(Boolean).join(', ');
  try {
    let group = [];
    let bytes = 0;
    for (const file of files) {
      stopped.signal.throwIfAborted();
      if (known.has(file)) {
        skipped += 1;
        done += file.size;
        continue;
      }
      if (file.size <= GROUP_BYTES && (await isDicom(file))) {
        group.push(file);
        bytes += file.size;
        if (group.length >= GROUP_FILES || bytes >= GROUP_BYTES) {
          await flush(group);
          group = [];
          bytes = 0;
        }
        continue;
      }
      try {
        const state = await sendPieces(file, step, stopped.signal);
        taken += state.taken + state.known;
        known.add([file]);
        if (state.refused || state.stopped || !(state.taken + state.known)) {
          refuse(file.name, state.reasons[0]?.reason ?? state.stopped ?? texts.refused);
        }
      } catch (error) {
        if (stopped.signal.aborted) throw error;
        refuse(file.name, error.message);
      }
      done += file.size;
      step(0);
    }
    await flush(group);
    shown.end(texts.uploaded, summary());
    known.keep();
    forget();
  } catch (error) {
    shown.end(texts.canceled, summary());
    forget();
    if (!stopped.signal.aborted) failed(error);
  } finally {
    running -= 1;
  }
}

// After a reload: what was broken off is said, and goes on when the files are chosen again.
let broken = null;
async function offerToGoOn() {
  const old = batch();
  if (old === null) return;
  const { transfer } = await import('./actions.js');
  if (running) return;
  broken = transfer(say('brokenFiles', { done: old.done.length, count: old.count }), null);
  broken.end(say('brokenFiles', { done: old.done.length, count: old.count }), '');
  broken.list.append(element('li', {}, texts.goon));
  broken.offer(texts.choose, () => document.getElementById('files').click());
  broken.offer(texts.forget, () => {
    forget();
    broken.gone();
  });
}

export function offerUploads() {
  const field = document.getElementById('files');
  field.addEventListener('change', () => {
    if (field.files.length) upload([...field.files]);
    field.value = '';
  });
  offerToGoOn();
  const veil = document.getElementById('drop');
  const carries = event => event.dataTransfer?.types.includes('Files');
  let depth = 0;
  document.addEventListener('dragenter', event => {
    if (!carries(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  document.addEventListener('dragleave', event => {
    if (!carries(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  document.addEventListener('dragover', event => { if (carries(event)) event.preventDefault(); });
  document.addEventListener('drop', async event => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    const entries = [...event.dataTransfer.items].map(item => item.webkitGetAsEntry?.()).filter(Boolean);
    try {
      const files = [];
      for (const entry of entries) for await (const file of within(entry)) files.push(file);
      if (files.length) upload(files);
    } catch (error) {
      toast(String(error.message), { bad: true });
    }
  });
}
