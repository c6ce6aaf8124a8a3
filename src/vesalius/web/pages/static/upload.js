// Uploads: files and folders dropped anywhere. DICOM files go by STOW-RS in small groups; archives (ZIP) and what is
// large go in pieces that are taken up where they broke off.
import { body, element, failed, texts, toast } from './shell.js';

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

async function sendPieces(file, moved, signal) {
  const made = await fetch(`${body.api}/uploads`, {
    method: 'POST',
    headers: { 'Upload-Length': String(file.size), 'Upload-Name': encodeURIComponent(file.name) },
    signal,
  });
  if (!made.ok) throw new Error((await made.json()).detail);
  const at = new URL(made.headers.get('Location')).pathname;
  let offset = 0;
  let tries = 0;
  while (offset < file.size) {
    try {
      const answer = await fetch(at, {
        method: 'PATCH',
        headers: { 'Upload-Offset': String(offset), 'Content-Type': 'application/octet-stream' },
        body: file.slice(offset, offset + PIECE),
        signal,
      });
      const said = answer.headers.get('Upload-Offset');
      if (!answer.ok && said === null) throw new Error((await answer.json()).detail);
      offset = Number(said);
      tries = 0;
    } catch (error) {
      if (signal.aborted || ++tries > 5) throw error;
      await new Promise(resolve => setTimeout(resolve, 500 * tries));
      offset = Number((await fetch(at, { method: 'HEAD', signal })).headers.get('Upload-Offset') ?? offset);
    }
    moved(offset);
  }
  for (;;) {
    const state = await (await fetch(at, { signal })).json();
    if (state.state !== 'receiving' && state.state !== 'received') return state;
    await new Promise(resolve => setTimeout(resolve, 300));
  }
}

async function upload(files) {
  const { transfer } = await import('./actions.js');
  const stopped = new AbortController();
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const shown = transfer(`${texts.uploading} (${files.length})`, () => stopped.abort());
  const studies = new Map();
  let done = 0;
  let taken = 0;
  let refused = 0;
  const step = moved => shown.step(Math.min(total, done + moved), total, `${Math.round((100 * Math.min(total, done + moved)) / (total || 1))} %`);
  const refuse = (name, reason) => {
    refused += 1;
    if (refused <= 5) shown.list.append(element('li', { class: 'bad' }, `${name}: ${reason}`));
  };
  const count = uid => {
    const line = studies.get(uid) ?? { count: 0, at: shown.list.appendChild(element('li')) };
    line.count += 1;
    line.at.textContent = `…${uid.slice(-16)}: ${line.count} ${texts.images}`;
    studies.set(uid, line);
    taken += 1;
  };
  const flush = async group => {
    if (!group.length) return;
    try {
      const told = await sendGroup(group, step, stopped.signal);
      for (const each of told['00081199']?.Value ?? []) {
        const address = each['00081190']?.Value?.[0] ?? '';
        count(/\/studies\/([0-9.]+)/.exec(address)?.[1] ?? '?');
      }
      for (const each of told['00081198']?.Value ?? []) {
        refuse(each['00081155']?.Value?.[0] ?? '', `${texts.refused} (${(each['00081197']?.Value?.[0] ?? 0).toString(16)})`);
      }
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      refuse(group[0].name, error.message);
    }
    done += group.reduce((sum, file) => sum + file.size, 0);
    step(0);
  };
  try {
    let group = [];
    let bytes = 0;
    for (const file of files) {
      stopped.signal.throwIfAborted();
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
    shown.end(texts.uploaded, `${taken} ${texts.images}${refused ? `, ${refused} ${texts.refused}` : ''}`);
  } catch (error) {
    shown.end(texts.canceled, `${taken} ${texts.images}`);
    if (!stopped.signal.aborted) failed(error);
  }
}

export function offerUploads() {
  const field = document.getElementById('files');
  field.addEventListener('change', () => {
    if (field.files.length) upload([...field.files]);
    field.value = '';
  });
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
