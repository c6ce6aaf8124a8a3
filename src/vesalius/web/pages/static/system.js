// Testing a peer, and taking a deletion back.
import { ask, body, texts } from './shell.js';
import { undo } from './actions.js';

document.addEventListener('click', async event => {
  const test = event.target.closest('[data-echo]');
  if (test) {
    const says = test.nextElementSibling;
    test.disabled = true;
    says.className = 'quiet';
    says.textContent = '…';
    try {
      const told = await (await ask(`${body.api}/peers/${encodeURIComponent(test.dataset.echo)}/echo`, { method: 'POST' })).json();
      says.className = 'good';
      says.textContent = `✓ ${texts.answered} ${told.milliseconds} ms`;
    } catch (error) {
      says.className = 'bad';
      says.textContent = `✕ ${error.message}`;
    }
    test.disabled = false;
    test.focus();
  }
  const back = event.target.closest('[data-undo]');
  if (back) {
    back.disabled = true;
    await undo(back.dataset.undo, () => back.closest('li').remove());
    back.disabled = false;
  }
});
