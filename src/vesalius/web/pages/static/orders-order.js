// One order: its confirmation on paper, and a reason for what ends or holds it.
import { keys, say } from './shell.js';
import { why } from './ris.js';

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => print());
}
keys.set('p', () => print());

document.getElementById('main').addEventListener('submit', async event => {
  const field = event.target.querySelector('[name=reason][data-who]');
  if (!field) return;
  event.preventDefault();
  const given = await why(say('scheduleWhy', { verb: event.submitter.textContent.trim() }), field.dataset.who);
  if (given === null) return;
  field.value = given;
  event.target.submit(); // does not come here again
});
