// What of an upload survives a reload. The browser lets no page keep a file, so the same files are chosen once more; then
// nothing is sent twice: files that are here are known by a mark, a large one goes on at the byte where it broke off.

const BATCH = 'upload'; // of this tab: how many files there were, and the marks of those that are done
const PIECES = 'upload-pieces'; // of this browser: mark -> address of an unfinished upload
const MOST = 50_000;

function read(store, key, otherwise) {
  try {
    return JSON.parse(store.getItem(key)) ?? otherwise;
  } catch {
    return otherwise;
  }
}
function write(store, key, value) {
  try {
    if (value === null) store.removeItem(key);
    else store.setItem(key, JSON.stringify(value));
  } catch { /* it will not be remembered */ }
}

// FNV-1a twice, so that no name of a file (which may be a patient's) is kept.
export function mark(file) {
  const text = `${file.webkitRelativePath || file.name}|${file.size}|${file.lastModified}`;
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (const character of text) {
    a = Math.imul(a ^ character.codePointAt(0), 0x01000193) >>> 0;
    b = Math.imul(b ^ character.codePointAt(0), 0x85ebca6b) >>> 0;
  }
  return a.toString(36) + b.toString(36);
}

export const batch = () => read(sessionStorage, BATCH, null);
export const forget = () => write(sessionStorage, BATCH, null);

// A batch that can be asked which of its files are done, and told.
export function begin(files) {
  const old = batch();
  const marks = new Set(files.map(mark));
  const known = old !== null && old.done.some(each => marks.has(each)) ? new Set(old.done) : new Set();
  let timer = 0;
  const keep = () => {
    clearTimeout(timer);
    timer = 0;
    write(sessionStorage, BATCH, { count: Math.max(files.length, known.size), done: [...known].slice(-MOST) });
  };
  keep();
  addEventListener('pagehide', () => { if (timer) keep(); });
  return {
    has: file => known.has(mark(file)),
    add(done) {
      done.forEach(file => known.add(mark(file)));
      timer ||= setTimeout(keep, 200);
    },
    keep,
  };
}

export const placeOf = file => read(localStorage, PIECES, {})[mark(file)];
export function setPlace(file, at) {
  const all = read(localStorage, PIECES, {});
  if (at === null) delete all[mark(file)];
  else all[mark(file)] = at;
  write(localStorage, PIECES, Object.keys(all).length ? all : null);
}
