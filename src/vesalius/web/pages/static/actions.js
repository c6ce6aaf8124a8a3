// Sending and deleting a study, each after a question; deleting can be undone.
import { ask, body, element, failed, say, texts, toast } from './shell.js';

function question(name, who) {
  const dialog = document.getElementById(name);
  dialog.querySelector('.who').textContent = who;
  const form = dialog.querySelector('form');
  form.reset();
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(resolve => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue ? new FormData(form) : null), { once: true });
  });
}

export async function undo(deletion, then) {
  try {
    await ask(`${body.api}/undelete`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ deletion, reason: 'undone' }),
    });
    toast(texts.restored);
    then?.();
  } catch (error) {
    failed(error);
  }
}

async function remove(study, who, then) {
  const given = await question('delete', who);
  if (!given) return;
  try {
    const answer = await ask(`${body.dicomWeb}/studies/${study}`, {
      method: 'DELETE',
      headers: { 'Deletion-Reason': encodeURIComponent(given.get('reason')) },
    });
    const made = await answer.json();
    toast(texts.deleted, { label: texts.undo, action: () => undo(made.deletion, then), seconds: 30 });
    then?.();
  } catch (error) {
    failed(error);
  }
}

async function send(study, who) {
  const dialog = document.getElementById('send');
  const list = dialog.querySelector('select');
  try {
    const { peers } = await (await ask(`${body.api}/peers`)).json();
    list.replaceChildren(...peers.map(peer => element('option', { value: peer.name }, `${peer.name} (${peer.aet})`)));
    dialog.querySelector('.none').hidden = peers.length > 0;
    dialog.querySelector('[value=send]').disabled = !peers.length;
  } catch (error) {
    failed(error);
    return;
  }
  const given = await question('send', who);
  if (!given) return;
  try {
    const answer = await ask(`${body.api}/sends`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ peer: given.get('peer'), study }),
    });
    track((await answer.json()).id);
  } catch (error) {
    failed(error);
  }
}

// A sending goes on in the service; what it has come to is asked for, after a reload too.
const KEPT = 'sends';
const kept = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT) ?? '[]');
  } catch {
    return [];
  }
};
function keep(ids) {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(ids));
  } catch { /* a reload will not show it */ }
}

export function transfer(title, cancel) {
  const box = document.getElementById('transfers');
  box.hidden = false;
  const bar = element('progress', { max: 1, value: 0, 'aria-label': title });
  const says = element('span', { class: 'quiet', role: 'status' });
  const list = element('ul');
  const head = element('header', {}, element('strong', {}, title), says);
  const made = element('div', { class: 'transfer' }, head, bar, list);
  const button = element('button', { class: 'link', type: 'button' }, texts.cancel);
  head.append(button);
  let ended = false;
  const gone = () => {
    made.remove();
    box.hidden = !box.children.length;
  };
  button.addEventListener('click', () => (ended ? gone() : cancel?.()));
  box.append(made);
  return {
    list,
    gone,
    offer(label, action) {
      head.append(element('button', { class: 'link', type: 'button', onclick: action }, label));
    },
    step(done, total, text) {
      bar.max = total || 1;
      bar.value = done;
      says.textContent = text;
    },
    end(title_, text) {
      ended = true;
      bar.value = bar.max;
      head.querySelector('strong').textContent = title_;
      says.textContent = text;
      button.textContent = texts.dismiss;
    },
  };
}

async function track(id) {
  if (!kept().includes(id)) keep([...kept(), id]);
  let shown = null;
  for (;;) {
    let state;
    try {
      state = await (await ask(`${body.api}/sends/${id}`)).json();
    } catch {
      break;
    }
    shown ??= transfer(say('sending', { peer: state.peer }), () => {
      ask(`${body.api}/sends/${id}`, { method: 'DELETE' }).catch(failed);
    });
    shown.step(state.done, state.total, `${state.done} / ${state.total}`);
    if (state.state !== 'running') {
      const title = { done: 'sent', canceled: 'canceled' }[state.state] ?? 'notsent';
      shown.end(say(title, { peer: state.peer }), `${state.sent} / ${state.total}`);
      if (state.error) shown.list.append(element('li', {}, state.error));
      for (const each of state.failed.slice(0, 5)) shown.list.append(element('li', {}, each.reason));
      break;
    }
    await new Promise(resolve => setTimeout(resolve, 400));
  }
  keep(kept().filter(each => each !== id));
}
kept().forEach(track);

export function choose(what, study, who, then) {
  if (what === 'send') send(study, who);
  else if (what === 'delete') remove(study, who, then);
}
