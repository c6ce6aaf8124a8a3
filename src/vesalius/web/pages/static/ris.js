// What the pages of the workflow share: asking the service, and asking a person why.
import { body, texts } from './shell.js';

// A change. What is refused throws an Error that holds what the service told (`told.code` says what is in the way).
export async function send(path, payload, method = 'POST') {
  let answer;
  try {
    answer = await fetch(`${body.api}/ris${path}`, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: payload === undefined ? undefined : JSON.stringify(payload),
    });
  } catch {
    throw new Error(texts.offline);
  }
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return told;
  const error = new Error([told?.detail, told?.hint].filter(Boolean).join(' ') || answer.statusText);
  error.told = told ?? {};
  throw error;
}

export const advance = (step, verb, reason = '') => send(`/steps/${step}/advance`, { verb, reason });

// A reason for something that cannot be undone; null where the person thought better of it.
export function why(title, who) {
  const dialog = document.getElementById('why');
  const form = dialog.querySelector('form');
  form.reset();
  dialog.querySelector('h2').textContent = title;
  dialog.querySelector('.who').textContent = who;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue ? new FormData(form).get('reason') : null), { once: true });
  });
}

export const time = stamp => `${stamp.slice(8, 10)}:${stamp.slice(10, 12)}`;
