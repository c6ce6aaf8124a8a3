// The time line leads to a study; what can be done with it is asked for here.
import { body, keys } from './shell.js';
import { choose } from './actions.js';

document.addEventListener('click', event => {
  const mark = event.target.closest('[data-goto]');
  if (mark) {
    event.preventDefault();
    const at = [...document.querySelectorAll('details.study')].find(each => each.dataset.study === mark.dataset.goto);
    at.open = true;
    at.scrollIntoView({ block: 'nearest' });
    at.querySelector('summary').focus();
  }
  const button = event.target.closest('button[data-do]');
  if (button) {
    const study = button.closest('[data-study]').dataset.study;
    const who = document.querySelector('.who-is h1').textContent.trim();
    choose(button.dataset.do, study, who, () => location.reload());
  }
});
function step(by) {
  const all = [...document.querySelectorAll('details.study > summary')];
  const at = all.indexOf(document.activeElement);
  all[Math.min(all.length - 1, Math.max(0, at + by))]?.focus();
}
keys.set('j', () => step(1));
keys.set('k', () => step(-1));
keys.set('v', () => {
  const study = document.activeElement?.closest('details.study') ?? document.querySelector('details.this');
  location.assign(`${body.root}/workstation/studies/${study.dataset.study}`);
});
keys.set('Escape', () => location.assign(`${body.root}/`));
