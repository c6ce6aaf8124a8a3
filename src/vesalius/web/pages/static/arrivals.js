// The arrivals desk: find a person, one key for what happened, each taken back by another.
import { ask, body, failed, follow, gently, keys, onChoice, say, texts, toast } from './shell.js';
import { advance } from './ris.js';

const desk = document.getElementById('desk');
const find = document.getElementById('find');
const filters = document.getElementById('desk-form');
const rows = () => [...desk.querySelectorAll('tr[data-step]')].filter(row => !row.hidden);
const fold = text => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

function sift() {
  const words = fold(find.value).split(/[\s,]+/).filter(Boolean);
  for (const row of desk.querySelectorAll('tr[data-step]')) {
    const text = fold(row.dataset.text);
    row.hidden = !words.every(word => text.includes(word));
  }
  const none = desk.querySelector('.none');
  if (none) none.hidden = rows().length > 0;
}

let running = null;
async function refresh() {
  running?.abort();
  running = new AbortController();
  const before = new Map([...desk.querySelectorAll('tr[data-step]')].map(row => [row.dataset.step, row.dataset.state]));
  const held = document.activeElement?.closest?.('tr[data-step]')?.dataset.step;
  const day = filters.elements.day.value;
  try {
    desk.innerHTML = await (await ask(`${body.root}/parts/arrivals?day=${encodeURIComponent(day)}`, { signal: running.signal })).text(); // made and escaped by the server
  } catch (error) {
    if (!running.signal.aborted) failed(error);
    return;
  }
  sift();
  if (held) row(held)?.querySelector('a.row').focus({ preventScroll: true });
  for (const each of rows()) if (before.size && before.get(each.dataset.step) !== each.dataset.state) each.classList.add('fresh');
}
const row = step => desk.querySelector(`tr[data-step="${step}"]`);

async function happened(at, verb, quiet = false) {
  const { step, who, born } = at.dataset;
  try {
    await advance(step, verb);
  } catch (error) {
    if (error.told?.title === 'Conflict') toast(`${say('arrivalsNotnow', { who })}. ${error.message}`, { bad: true });
    else failed(error);
    refresh();
    return;
  }
  await refresh();
  row(step)?.querySelector('a.row').focus({ preventScroll: true });
  if (quiet) return;
  const state = texts[`arrivalsStep${verb[0].toUpperCase()}${verb.slice(1)}`];
  const back = { arrive: 'leave', miss: 'arrive' }[verb];
  // Name and birth date: what is asked for at the desk is said once more.
  toast(say('arrivalsTold', { who, born, state }), back ? { label: texts.undo, action: () => takeBack(step, verb), seconds: 20 } : {});
}

// A missed appointment is taken back over an arrival: so the record of it stays whole.
async function takeBack(step, verb) {
  try {
    if (verb === 'miss') await advance(step, 'arrive');
    await advance(step, 'leave');
    await refresh();
  } catch (error) {
    failed(error);
  }
}

desk.addEventListener('submit', event => {
  const button = event.submitter;
  if (!button?.dataset.verb) return;
  event.preventDefault();
  happened(button.closest('tr'), button.dataset.verb);
});
desk.addEventListener('click', event => {
  const at = event.target.closest('tr[data-step]');
  if (at && !event.target.closest('a, button') && !getSelection().toString()) at.querySelector('a.row').focus();
});
filters.addEventListener('submit', event => event.preventDefault());
onChoice(filters, () => {
  history.replaceState(null, '', `?day=${filters.elements.day.value}`);
  location.reload();
});
find.addEventListener('input', sift);
find.addEventListener('keydown', event => {
  if (event.key !== 'Enter' && event.key !== 'ArrowDown') return;
  event.preventDefault();
  rows()[0]?.querySelector('a.row').focus();
});

function next(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement?.closest?.('tr[data-step]'));
  const link = all[at < 0 ? 0 : Math.min(all.length - 1, Math.max(0, at + by))]?.querySelector('a.row');
  link?.focus();
  link?.scrollIntoView({ block: 'nearest' });
}
const chosen = () => {
  const all = rows();
  return document.activeElement?.closest?.('tr[data-step]') ?? (all.length === 1 ? all[0] : null);
};
const act = verb => () => {
  const at = chosen();
  if (at) happened(at, verb);
};
keys.set('j', () => next(1));
keys.set('k', () => next(-1));
keys.set('a', act('arrive'));
keys.set('x', act('miss'));
keys.set('u', () => {
  const at = chosen();
  if (!at) return;
  if (at.dataset.state === 'NO SHOW') takeBack(at.dataset.step, 'miss');
  else happened(at, 'leave');
});
keys.set('f', () => { find.focus(); find.select(); });
for (const each of document.querySelectorAll('[data-key]')) keys.set(each.dataset.key, () => location.assign(each.href));

sift();
follow(gently(refresh), { feed: '/ris/events', since: Number(desk.querySelector('[data-last]').dataset.last) });
setInterval(() => document.hidden || refresh(), 60_000); // who is late becomes later
