// The list of studies: searching as one types, rows by keyboard, series of a row, live arrival, sending and deleting.
import { ask, body, element, failed, follow, keys, say, texts, toast } from './shell.js';
import { choose as chooseStudy } from './actions.js';

const results = document.getElementById('results');
const form = document.getElementById('search');
const fields = Object.fromEntries([...form.elements].filter(each => each.name).map(each => [each.name, each]));
let page = Number(new URLSearchParams(location.search).get('page')) || 1;

// -- the list

function address() {
  const query = new URLSearchParams();
  for (const [name, field] of Object.entries(fields)) if (field.value.trim()) query.set(name, field.value.trim());
  if (page > 1) query.set('page', page);
  const text = query.toString();
  return text ? `?${text}` : '';
}

let running = null;
let before = new Set();

function show({ push = true, fresh = false } = {}) {
  const text = address();
  if (push) history.replaceState(null, '', `${body.root}/${text}`);
  before = new Set(fresh ? [...results.querySelectorAll('tr[data-study]')].map(row => row.dataset.study) : []);
  running?.abort();
  running = new AbortController();
  const chosen = document.activeElement?.closest?.('tr[data-study]')?.dataset.study;
  if (window.htmx) {
    results.setAttribute('hx-get', `${body.root}/parts/studies${text}`);
    return window.htmx.ajax('GET', `${body.root}/parts/studies${text}`, { source: results, target: '#results', swap: 'innerHTML' })
      .then(() => settled(chosen, fresh));
  }
  return ask(`${body.root}/parts/studies${text}`, { signal: running.signal })
    .then(answer => answer.text())
    .then(part => {
      results.innerHTML = part;
      settled(chosen, fresh);
    })
    .catch(failed);
}

function settled(chosen, fresh) {
  document.querySelector('.news')?.remove();
  waiting.clear();
  if (chosen) row(chosen)?.querySelector('a.row').focus({ preventScroll: true });
  if (fresh) {
    for (const each of rows()) if (before.size && !before.has(each.dataset.study)) each.classList.add('fresh');
  }
}

let timer = 0;
function typed(wait) {
  clearTimeout(timer);
  timer = setTimeout(() => { page = 1; show(); }, wait);
}
for (const field of Object.values(fields)) {
  field.addEventListener('input', () => typed(field.type === 'date' || field.tagName === 'SELECT' ? 0 : 150));
}
form.addEventListener('submit', event => {
  event.preventDefault();
  typed(0);
});

results.addEventListener('click', event => {
  const link = event.target.closest('a');
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  if (link?.dataset.sort !== undefined) {
    fields.sort.value = link.dataset.sort;
    fields.dir.value = link.dataset.dir;
    page = 1;
    event.preventDefault();
    show().then(() => results.querySelector('th[aria-sort] a, thead a')?.focus());
  } else if (link?.dataset.page) {
    page = Number(link.dataset.page);
    event.preventDefault();
    show().then(() => { scrollTo(0, 0); rows()[0]?.querySelector('a.row').focus(); });
  } else if (link?.classList.contains('row')) {
    event.preventDefault();
    toggle(link.closest('tr'));
  } else if (!link && !event.target.closest('button, input') && !getSelection().toString()) {
    const at = event.target.closest('tr[data-study]');
    if (at) toggle(at);
  }
});
results.addEventListener('dblclick', event => {
  const at = event.target.closest('tr[data-study]');
  if (at) location.assign(`${body.root}/workstation/studies/${at.dataset.study}`);
});

// -- rows

const rows = () => [...results.querySelectorAll('tr[data-study]')];
const row = uid => rows().find(each => each.dataset.study === uid);
const current = () => document.activeElement?.closest('tr[data-study]')
  ?? document.activeElement?.closest('tr.detail')?.previousElementSibling ?? null;

function step(by) {
  const all = rows();
  if (!all.length) return false;
  const at = current();
  const next = at ? all[Math.min(all.length - 1, Math.max(0, all.indexOf(at) + by))] : all[0];
  next.querySelector('a.row').focus();
  next.scrollIntoView({ block: 'nearest' });
}

function close(at) {
  at.classList.remove('open');
  at.querySelector('a.row').setAttribute('aria-expanded', 'false');
  if (at.nextElementSibling?.classList.contains('detail')) at.nextElementSibling.remove();
}

async function toggle(at) {
  if (at.classList.contains('open')) {
    close(at);
    return;
  }
  results.querySelectorAll('tr.open').forEach(close);
  at.classList.add('open');
  at.querySelector('a.row').setAttribute('aria-expanded', 'true');
  at.querySelector('a.row').focus({ preventScroll: true });
  const cell = element('td', { colspan: at.cells.length }, element('div', { class: 'skeleton', 'aria-hidden': 'true' },
    element('span'), element('span'), element('span')));
  at.after(element('tr', { class: 'detail' }, cell));
  try {
    const answer = await ask(`${body.root}/parts/studies/${at.dataset.study}`);
    cell.innerHTML = await answer.text(); // made and escaped by the server
    guardPictures(cell);
    cell.closest('tr').scrollIntoView({ block: 'nearest' });
  } catch (error) {
    close(at);
    failed(error);
  }
}

export function guardPictures(within) {
  for (const picture of within.querySelectorAll('.thumb img')) {
    picture.addEventListener('error', () => {
      picture.replaceWith(element('span', { class: 'glyph' }, texts.nopicture));
    });
  }
}

keys.set('j', () => step(1));
keys.set('k', () => step(-1));
keys.set('ArrowDown', () => (current() ? step(1) : false));
keys.set('ArrowUp', () => (current() ? step(-1) : false));
keys.set('v', () => {
  const at = current();
  if (!at) return false;
  location.assign(`${body.root}/workstation/studies/${at.dataset.study}`);
});
keys.set('p', () => {
  const at = current();
  if (!at) return false;
  location.assign(`${body.root}/studies/${at.dataset.study}`);
});
for (const [key, what] of Object.entries({ f: '[data-do=fuse]', s: '[data-do=send]', d: 'a[download]', x: '[data-do=delete]' })) {
  keys.set(key, () => {
    const button = results.querySelector(`tr.open + tr.detail ${what}`);
    if (!button) return false;
    button.click();
  });
}
keys.set('Escape', () => {
  const open = results.querySelector('tr.open');
  if (open) {
    close(open);
    open.querySelector('a.row').focus();
  } else if (address()) {
    for (const field of Object.values(fields)) field.value = '';
    page = 1;
    show();
  }
});

// -- columns

const columns = document.querySelectorAll('[data-column]');
let left = [];
try {
  left = JSON.parse(localStorage.getItem('columns') ?? '[]');
} catch { /* all are shown */ }
for (const box of columns) {
  box.checked = !left.includes(box.dataset.column);
  results.classList.toggle(`hide-${box.dataset.column}`, !box.checked);
  box.addEventListener('change', () => {
    results.classList.toggle(`hide-${box.dataset.column}`, !box.checked);
    try {
      localStorage.setItem('columns', JSON.stringify([...columns].filter(each => !each.checked).map(each => each.dataset.column)));
    } catch { /* not remembered */ }
  });
}
document.addEventListener('click', event => {
  const menu = document.querySelector('details.columns[open]');
  if (menu && !menu.contains(event.target)) menu.open = false;
});

// -- what arrives

const waiting = new Set();
let soon = 0;
follow(changes => {
  const seen = new Set(rows().map(each => each.dataset.study));
  changes.filter(each => each.kind === 'stored' && !seen.has(each.study)).forEach(each => waiting.add(each.study));
  clearTimeout(soon);
  soon = setTimeout(() => {
    // Nothing moves under the hand of who reads: an open row or another page gets a note instead.
    const busy = results.querySelector('tr.open') || page > 1 || document.querySelector('dialog[open]');
    if (!busy) {
      show({ push: false, fresh: true });
    } else if (waiting.size) {
      document.querySelector('.news')?.remove();
      results.before(element('button', { class: 'button news', type: 'button', onclick: () => { page = 1; show({ fresh: true }); } },
        say('arrived', { count: waiting.size })));
    }
  }, 300);
});

// -- doing something with a study

results.addEventListener('click', event => {
  const button = event.target.closest('button[data-do]');
  if (!button) return;
  const at = button.closest('tr').previousElementSibling;
  chooseStudy(button.dataset.do, at.dataset.study, at.dataset.who, () => show({ push: false }));
});
