// What every page can do by hand: theme, density, keys, messages that come and go, uploads by dropping, and what moves.
import { offerUploads } from './upload.js';

export const body = document.body.dataset;
export const texts = document.getElementById('texts').dataset;

// A text with figures: `js.images` and `js.images.one` of the catalogue.
export function say(key, figures = {}) {
  const text = (figures.count === 1 && texts[`${key}One`]) || texts[key] || key; // `js.images.one` is texts.imagesOne
  return text.replace(/\{([a-z]+)\}/g, (_, name) => {
    const value = figures[name] ?? '';
    return typeof value === 'number' ? value.toLocaleString(document.documentElement.lang) : value;
  });
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.filter(child => child !== null && child !== ''));
  return made;
}

export function toast(text, { action, label, bad = false, seconds = 12 } = {}) {
  const close = () => made.remove();
  const buttons = [];
  if (action) buttons.push(element('button', { class: 'button', type: 'button', onclick: () => { close(); action(); } }, label));
  buttons.push(element('button', { class: 'link', type: 'button', onclick: close }, texts.dismiss));
  const made = element('div', { class: bad ? 'toast bad' : 'toast', role: bad ? 'alert' : null }, element('span', {}, text), ...buttons);
  document.getElementById('toasts').append(made);
  if (!bad) setTimeout(close, seconds * 1000);
  return made;
}

export async function ask(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error(texts.offline);
  }
  if (answer.ok) return answer;
  let said = '';
  try {
    const problem = await answer.json();
    said = [problem.detail, problem.hint].filter(Boolean).join(' ');
  } catch { /* no words */ }
  throw new Error(said || answer.statusText || String(answer.status));
}

export const failed = error => toast(`${texts.failed} ${error.message}`, { bad: true });

function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch { /* not remembered */ }
}

const root = document.documentElement;
const actions = {
  theme() {
    const light = root.dataset.theme ? root.dataset.theme === 'light' : matchMedia('(prefers-color-scheme: light)').matches;
    root.dataset.theme = light ? 'dark' : 'light';
    remember('theme', root.dataset.theme);
  },
  density(button) {
    const comfortable = root.dataset.density !== 'comfortable';
    if (comfortable) root.dataset.density = 'comfortable';
    else delete root.dataset.density;
    button?.setAttribute('aria-pressed', String(comfortable));
    remember('density', comfortable ? 'comfortable' : null);
  },
  keys() {
    document.getElementById('keys').showModal();
  },
};
// Not a submit button: Enter in a field would press the first of those.
document.addEventListener('click', event => event.target.closest?.('dialog [data-close]')?.closest('dialog').close());
for (const button of document.querySelectorAll('[data-action]')) {
  button.addEventListener('click', () => actions[button.dataset.action](button));
}
document.querySelector('[data-action=density]').setAttribute('aria-pressed', String(root.dataset.density === 'comfortable'));

// Keys. A page adds its own by `keys.set`.
export const keys = new Map();
let went = false;
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = event.target;
  const typing = at.matches('input:not([type=checkbox]), select, textarea');
  if (event.key === 'Escape' && typing && !at.closest('dialog')) {
    at.blur();
    document.getElementById('main').focus();
    event.preventDefault();
    return;
  }
  if (typing || document.querySelector('dialog[open]')) return;
  const room = went && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  if (room) {
    event.preventDefault();
    location.assign(room.href);
    return;
  }
  went = event.key === 'g';
  const own = keys.get(event.key);
  if (own && own(event) !== false) event.preventDefault();
});
keys.set('/', () => {
  const field = document.getElementById('q');
  field.focus();
  field.select();
});
keys.set('?', () => actions.keys());

// What arrives, as it does. One connection for a page; it is let go while nobody looks. `feed` is `/events` (studies) or
// `/ris/events` (orders and steps); `since` the number of the last event that the page was made with.
export function follow(tell, { feed = '/events', since = null } = {}) {
  const light = document.getElementById('live');
  let source = null;
  const show = on => {
    light.hidden = false;
    light.classList.toggle('on', on);
    light.classList.toggle('off', !on);
    light.textContent = on ? light.dataset.on : light.dataset.off;
  };
  let last = since;
  const open = () => {
    if (source) return;
    source = new EventSource(`${body.api}${feed}${last === null ? '' : `?since=${last}`}`);
    source.onopen = () => show(true);
    source.onerror = () => show(false);
    source.addEventListener('changes', event => {
      const told = JSON.parse(event.data);
      last = told.last;
      tell(told.changes);
    });
  };
  open();
  addEventListener('pagehide', () => { source?.close(); source = null; });
  addEventListener('pageshow', open);
}

// What needs attention, wherever one is: looked at now and then, and never while nobody looks.
const attention = document.getElementById('attention');
async function attend() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`${body.root}/parts/attention`);
    const said = answer.ok ? (await answer.text()).trim() : '';
    if (said !== attention.dataset.said) attention.innerHTML = said; // made and escaped by the server
    attention.dataset.said = said;
  } catch { /* away for a moment */ }
}
attend();
setInterval(attend, 30_000);
document.addEventListener('visibilitychange', attend);

offerUploads();
if (document.getElementById('hits')) import('./search.js');

// At most once in so many milliseconds, and never beside itself: on a busy day the picture comes all the same.
export function gently(work, pause = 1000) {
  let timer = 0;
  let running = false;
  let again = false;
  let last = 0;
  const soon = () => {
    if (running) again = true;
    else timer ||= setTimeout(run, Math.max(0, last + pause - Date.now()));
  };
  const run = async () => {
    timer = 0;
    running = true;
    try {
      await work();
    } finally {
      running = false;
      last = Date.now();
      if (again) {
        again = false;
        soon();
      }
    }
  };
  return soon;
}

// Filters take effect when they are chosen; a date that is being typed, when the typing pauses (WCAG 3.2.2).
export function onChoice(form, act) {
  let timer = 0;
  let typed = 0;
  form.addEventListener('keydown', event => {
    if (event.target.type === 'date' && event.key !== 'Enter') typed = Date.now();
  });
  form.addEventListener('change', event => {
    if (!event.target.matches('select, input[type=date]')) return;
    clearTimeout(timer);
    if (event.target.type === 'date' && Date.now() - typed < 500) timer = setTimeout(act, 1200);
    else act();
  });
}
