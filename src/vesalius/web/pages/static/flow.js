// Lists that keep themselves up to date: the same part of the page is asked for again, now and then or when the workflow moves.
import { body, follow, gently, keys, onChoice } from './shell.js';

const list = document.querySelector('[data-part]');
const rows = () => [...document.querySelectorAll('a.row')];

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(`${body.root}${list.dataset.part}${location.search}`);
    if (answer.ok) {
      const html = await answer.text();
      const focused = document.activeElement?.closest?.('[data-part]') ? document.activeElement.getAttribute('href') : null;
      if (html !== list.said) list.innerHTML = html; // made and escaped by the server
      list.said = html;
      if (focused) rows().find(row => row.getAttribute('href') === focused)?.focus();
    }
  } catch { /* away for a moment */ }
}

if (list) {
  const soon = gently(refresh);
  if (list.dataset.every) setInterval(soon, Number(list.dataset.every) * 1000);
  if (list.dataset.since) follow(soon, { feed: '/ris/events', since: Number(list.dataset.since) });
}
for (const form of document.querySelectorAll('form[data-filters]')) {
  onChoice(form, () => form.requestSubmit());
}
function step(by) {
  const all = rows();
  const at = all.indexOf(document.activeElement);
  all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus();
}
keys.set('j', () => step(1));
keys.set('k', () => step(-1));
const find = document.getElementById('find');
if (find) keys.set('f', () => { find.focus(); find.select(); });
