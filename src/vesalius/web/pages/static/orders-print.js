// The confirmation on paper.
import { keys } from './shell.js';

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => print());
}
keys.set('p', () => print());
