// Order entry: patients while one types, records that may be of the same person, free times of a procedure.
import { ask, body, failed, keys } from './shell.js';

const form = document.getElementById('order');
const fields = form.elements;
const find = document.getElementById('find');

function later(wait, work) {
  let timer = 0;
  let running = null;
  return () => {
    clearTimeout(timer);
    running?.abort();
    timer = setTimeout(async () => {
      running = new AbortController();
      const { signal } = running;
      try {
        await work(signal);
      } catch (error) {
        if (!signal.aborted) failed(error);
      }
    }, wait);
  };
}
const part = async (path, query, place, signal) => {
  const text = await (await ask(`${body.root}/parts/orders/${path}?${new URLSearchParams(query)}`, { signal })).text();
  place.innerHTML = text; // made and escaped by the server
};

if (find) {
  const found = document.getElementById('found');
  find.addEventListener('input', later(150, async signal => {
    await part('patients', { q: find.value }, found, signal);
    const offer = found.querySelector('[data-new]');
    if (offer) offer.hidden = false;
    const only = found.querySelectorAll('[name=patient]');
    if (only.length === 1) only[0].checked = true;
  }));
  find.addEventListener('keydown', event => {
    if (event.key !== 'Enter' && event.key !== 'ArrowDown') return;
    event.preventDefault();
    const first = found.querySelector('[name=patient]');
    if (first) { first.checked = true; first.focus(); }
  });
  found.addEventListener('click', event => {
    if (!event.target.closest('[data-new]')) return;
    form.querySelector('[name=who][value=new]').checked = true;
    const [family, given = ''] = find.value.split(/,\s*|\s+/, 2);
    if (!/\d/.test(find.value)) {
      fields.family.value = family;
      fields.given.value = given;
    }
    fields.family.focus();
  });
  const twins = document.getElementById('twins');
  const alike = later(250, signal => part('twins', { family: fields.family.value, given: fields.given.value, born: fields.born.value, id: fields.id.value }, twins, signal));
  for (const name of ['family', 'given', 'born', 'id']) fields[name].addEventListener('input', alike);
  // Another patient, and what was typed of the order stays.
  form.addEventListener('click', event => {
    const use = event.target.closest('[data-use]');
    if (!use) return;
    event.preventDefault();
    form.querySelector('[name=who][value=known]').checked = true;
    form.append(Object.assign(document.createElement('input'), { type: 'hidden', name: 'patient', value: use.dataset.use }));
    form.append(Object.assign(document.createElement('input'), { type: 'hidden', name: 'do', value: 'find' }));
    form.submit();
  });
}

const slots = document.getElementById('slots');
const free = later(0, signal => {
  const chosen = form.querySelector('[name=slot]:checked')?.value ?? '';
  return part('slots', { procedure: fields.procedure.value, day: fields.day.value, slot: chosen }, slots, signal);
});
const preparation = document.getElementById('preparation');
function prepare() {
  const text = fields.procedure.selectedOptions[0]?.dataset.preparation ?? '';
  preparation.hidden = !text;
  preparation.textContent = `${preparation.dataset.label} ${text}`;
}
fields.procedure.addEventListener('change', () => { prepare(); free(); });
fields.day.addEventListener('change', free);
prepare();

// Pressed twice, it is placed once.
form.addEventListener('submit', event => {
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = 'yes';
});
addEventListener('pageshow', () => delete form.dataset.sent);

document.getElementById('summary')?.focus();
if (!document.getElementById('summary')) (find ?? fields.procedure).focus();
keys.set('f', () => (find ?? fields.procedure).focus());
