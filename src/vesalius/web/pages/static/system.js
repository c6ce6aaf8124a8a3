// Testing a peer, ending a sending, and taking a deletion back.
import { ask, body, failed, say } from './shell.js';
import { undo } from './actions.js';

async function test(button) {
  const says = button.nextElementSibling;
  button.disabled = true;
  says.className = 'quiet';
  says.textContent = '…';
  try {
    const told = await (await ask(`${body.api}/peers/${encodeURIComponent(button.dataset.echo)}/echo`, { method: 'POST' })).json();
    says.className = 'good';
    says.textContent = `✓ ${say('answered', { ms: told.milliseconds })}`;
  } catch (error) {
    says.className = 'bad';
    says.textContent = `✕ ${error.message}`;
  }
  button.disabled = false;
  button.focus();
}

document.addEventListener('click', async event => {
  const button = event.target.closest('button');
  if (button?.dataset.echo) {
    await test(button);
  } else if (button?.dataset.stop) {
    button.disabled = true;
    await ask(`${body.api}/sends/${button.dataset.stop}`, { method: 'DELETE' }).catch(failed);
  } else if (button?.dataset.undo) {
    button.disabled = true;
    await undo(button.dataset.undo, () => button.closest('li').remove());
    button.disabled = false;
  }
});

// Nothing moves under the hand of who is in it by keyboard.
document.body.addEventListener('htmx:beforeSwap', event => {
  if (event.target.contains(document.activeElement)) event.detail.shouldSwap = false;
});

// Without htmx, what moves is fetched here.
if (!document.querySelector('script[src$="htmx.min.js"]')) {
  setInterval(async () => {
    for (const part of document.querySelectorAll('[hx-get]')) {
      try {
        part.innerHTML = await (await ask(part.getAttribute('hx-get'))).text(); // made and escaped by the server
      } catch { /* the next time */ }
    }
  }, 5000);
}
