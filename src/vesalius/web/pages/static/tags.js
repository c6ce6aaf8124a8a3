// Finding in a header as one types: every word must be in the row.
import { keys } from './shell.js';

const field = document.getElementById('find');
const rows = [...document.querySelectorAll('table.tags tbody tr')].map(row => ({ row, text: row.textContent.toLowerCase() }));
const shown = document.getElementById('shown');
const whole = shown.textContent;
field.addEventListener('input', () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { row, text } of rows) {
    row.hidden = !words.every(word => text.includes(word));
    count += !row.hidden;
  }
  shown.textContent = !words.length ? whole : count ? field.dataset.some.replace('{count}', count) : field.dataset.none;
});
keys.set('f', () => field.focus());
keys.set('c', () => document.querySelector('form.inline input').focus());
const go = rel => {
  const link = document.querySelector(`a[rel=${rel}]`);
  if (link) location.assign(link.href);
};
keys.set('j', () => go('next'));
keys.set('k', () => go('prev'));
keys.set('Escape', () => history.back());
