// The search of every page but the list itself: the first answers while one types; Enter leads to all of them.
import { ask, body, texts } from './shell.js';

const field = document.getElementById('q');
const hits = document.getElementById('hits');
let timer = 0;
let running = null;

function close() {
  hits.hidden = true;
  hits.replaceChildren();
}

async function look() {
  running?.abort();
  const text = field.value.trim();
  if (!text) {
    close();
    return;
  }
  running = new AbortController();
  try {
    const answer = await ask(`${body.root}/parts/search?q=${encodeURIComponent(text)}`, { signal: running.signal });
    hits.innerHTML = await answer.text(); // made and escaped by the server
    hits.hidden = false;
  } catch (error) {
    if (running.signal.aborted) return;
    hits.hidden = false;
    hits.textContent = `${texts.failed} ${error.message}`;
  }
}

field.addEventListener('input', () => {
  clearTimeout(timer);
  timer = setTimeout(look, 120);
});
document.getElementById('search').addEventListener('keydown', event => {
  const links = [...hits.querySelectorAll('a')];
  const at = links.indexOf(document.activeElement);
  if (event.key === 'ArrowDown' && links.length) {
    links[Math.min(links.length - 1, at + 1)].focus();
    event.preventDefault();
  } else if (event.key === 'ArrowUp' && at >= 0) {
    (at ? links[at - 1] : field).focus();
    event.preventDefault();
  } else if (event.key === 'Escape' && !hits.hidden) {
    close();
    field.focus();
    event.preventDefault();
    event.stopPropagation();
  }
});
document.addEventListener('pointerdown', event => {
  if (!event.target.closest('#search')) close();
});
document.getElementById('search').addEventListener('focusout', event => {
  if (event.relatedTarget && !event.relatedTarget.closest('#search')) close();
});
