// The buttons of one step, on its own page and beside the schedule.
import { failed, say } from './shell.js';
import { advance, why } from './ris.js';

// Takes over the buttons below `place`; `done` is told when something happened.
export function buttons(place, done) {
  place.addEventListener('submit', async event => {
    const button = event.submitter;
    if (!button?.dataset.verb) return;
    event.preventDefault();
    const head = button.closest('[data-step]');
    const verb = button.textContent.trim();
    let reason = '';
    if (button.dataset.reason !== undefined) {
      reason = await why(say('scheduleWhy', { verb }), head.dataset.who);
      if (reason === null) return;
    }
    button.disabled = true;
    try {
      await advance(head.dataset.step, button.dataset.verb, reason);
      done(head.dataset.step);
    } catch (error) {
      button.disabled = false;
      failed(error);
    }
  });
}
const own = document.getElementById('step');
if (own) buttons(own, () => location.reload());
