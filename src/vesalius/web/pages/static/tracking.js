// The board moves by itself: whatever becomes of the workflow, the same part of the page is asked for again.
import { body, follow, gently, keys, onChoice, say } from './shell.js';

const board = document.getElementById('board');
const told = document.getElementById('told');
const form = document.getElementById('tracking-form');
const wall = document.querySelector('.tracking').dataset.wall === '1';
if (wall) document.documentElement.dataset.theme = 'dark'; // walls hang in rooms where people look at images

const state = () => new Map([...board.querySelectorAll('tr[data-key]')].map(row => [row.dataset.key, row.dataset]));

const day = () => document.getElementById('as-of').dataset.day;
const begun = day();

function show(html) {
  const before = state();
  const focused = document.activeElement?.closest?.('tr[data-key]')?.dataset.key;
  board.innerHTML = html; // made and escaped by the server
  if (day() !== begun) location.reload(); // a display that hangs there goes on with the next day
  let alarms = 0;
  for (const row of board.querySelectorAll('tr[data-key]')) {
    const was = before.get(row.dataset.key);
    if (before.size && (!was || was.phase !== row.dataset.phase)) row.classList.add('moved');
    if (row.dataset.alerts.includes('missing') && !was?.alerts.includes('missing')) alarms += 1;
  }
  if (alarms) told.textContent = say('trackingMissing', { count: alarms });
  if (focused) board.querySelector(`tr[data-key="${CSS.escape(focused)}"] a.row`)?.focus();
  const clock = document.getElementById('clock');
  if (clock) clock.textContent = document.getElementById('as-of').dataset.clock;
}

async function refresh() {
  try {
    const answer = await fetch(`${body.root}/parts/tracking${location.search}`);
    if (answer.ok) show(await answer.text());
  } catch { /* away for a moment: the light in the top bar says so */ }
}
const soon = gently(refresh);

follow(soon, { feed: '/ris/events', since: Number(document.getElementById('as-of').dataset.last) });
setInterval(() => document.hidden || soon(), 20_000); // minutes pass, too
addEventListener('pageshow', event => { if (event.persisted) soon(); });

if (form) onChoice(form, () => form.submit());
for (const link of document.querySelectorAll('a[data-key]')) keys.set(link.dataset.key, () => link.click());
function step(by) {
  const rows = [...board.querySelectorAll('a.row')];
  const at = rows.indexOf(document.activeElement);
  rows[Math.max(0, Math.min(rows.length - 1, at + by))]?.focus();
}
keys.set('j', () => step(1));
keys.set('k', () => step(-1));
