// The schedule: dragging and moving appointments, planning what waits, the details beside it, and what others do.
import { ask, body, element, failed, follow, gently, keys, onChoice, say, texts, toast } from './shell.js';
import { advance, send, time } from './ris.js';
import { buttons } from './schedule-step.js';

const board = document.getElementById('board');
const ROW = 5; // minutes
const name = station => document.querySelector(`#move select option[value="${CSS.escape(station)}"]`)?.textContent.split(' · ')[0] ?? station;
const frame = () => board.querySelector('.board');

// -- what is shown

let drag = null;
let waiting = false;
let running = null;

const drawn = () => new Map([...board.querySelectorAll('.step')].map(each => [each.dataset.step, `${each.dataset.station} ${each.dataset.start} ${each.className}`]));

async function refresh() {
  if (drag) {
    waiting = true;
    return;
  }
  waiting = false;
  running?.abort();
  running = new AbortController();
  const before = drawn();
  const held = document.activeElement?.closest?.('#board [data-step], #board [data-procedure]');
  const at = held && (held.dataset.step ? `[data-step="${held.dataset.step}"]` : `[data-procedure="${held.dataset.procedure}"]`);
  try {
    const part = await (await ask(`${body.root}/parts/schedule${location.search}`, { signal: running.signal })).text();
    if (drag) {
      waiting = true;
      return;
    }
    const [left, top] = [frame()?.scrollLeft ?? 0, frame()?.scrollTop ?? 0];
    board.innerHTML = part; // made and escaped by the server
    frame()?.scrollTo(left, top);
    if (at) board.querySelector(at)?.focus({ preventScroll: true });
    for (const [step, text] of drawn()) if (before.get(step) !== text) card(step).classList.add('fresh');
  } catch (error) {
    if (error.name !== 'AbortError' && !running.signal.aborted) failed(error);
  }
}
const card = step => board.querySelector(`.step[data-step="${step}"]`);

const now = board.querySelector('.now');
if (now) frame().scrollTop = Math.max(0, now.offsetTop - frame().clientHeight / 3);
follow(gently(refresh), { feed: '/ris/events', since: Number(board.querySelector('[data-last]').dataset.last) });
setInterval(() => document.hidden || refresh(), ROW * 60_000); // the line of the present goes on

// -- moving and planning

const told = each => ({
  step: each.dataset.step,
  procedure: each.dataset.procedure,
  who: each.dataset.who,
  station: each.dataset.station ?? '',
  start: each.dataset.start ?? '',
  minutes: Number(each.dataset.minutes),
  modality: each.dataset.modality,
  missed: each.classList.contains('wait') && each.dataset.step !== undefined,
});

// To a place; throws what was refused.
async function put(what, station, start, more = {}) {
  const answer = what.step
    ? await send(`/steps/${what.step}/move`, { station, start, seen: { station: what.station, start: what.start }, ...more })
    : await send('/steps', { procedure: Number(what.procedure), station, start, ...more });
  mover.close(); // what is behind an open dialog takes no focus
  await refresh();
  const text = say(what.step && !what.missed ? 'scheduleMoved' : 'schedulePlanned', { who: what.who, time: time(answer.start), station: name(answer.station) });
  toast(text, { label: texts.undo, action: () => undo(what, answer), seconds: 20 });
  card(answer.step)?.focus({ preventScroll: true });
}

async function undo(what, made) {
  try {
    if (what.missed) await advance(made.step, 'miss');
    else if (!what.step) await advance(made.step, 'cancel', 'undone');
    else {
      const { station, start, minutes } = made.from;
      await send(`/steps/${what.step}/move`, { station, start, minutes, force: true, reason: 'undone', seen: { station: made.station, start: made.start } });
    }
    await refresh();
    toast(texts.scheduleBack);
  } catch (error) {
    failed(error);
  }
}

// What was refused, in words.
function reason(error, what, station) {
  const said = error.told ?? {};
  const place = name(said.station || station);
  if (said.code === 'taken') return say('scheduleTaken', { station: place, begin: time(said.begin), end: time(said.end) });
  if (said.code === 'closed') return say('scheduleClosed', { station: place });
  if (said.code === 'modality') return say('scheduleModality', { station: place, modality: what.modality });
  if (said.code === 'changed') return texts.scheduleChanged;
  return `${texts.failed} ${error.message}`;
}

async function drop(what, station, start) {
  try {
    await put(what, station, start);
  } catch (error) {
    const closed = error.told?.code === 'closed';
    toast(reason(error, what, station), closed ? { bad: true, label: texts.scheduleAnyway, action: () => dialog(what, station, start, true) } : { bad: true });
    refresh();
  }
}

// -- by dialog

const mover = document.getElementById('move');
const form = mover.querySelector('form');
let moved = null;

function dialog(what, station = what.station, start = what.start, closed = false) {
  moved = what;
  form.reset();
  mover.querySelector('.who').textContent = what.who;
  for (const option of form.elements.station.options) option.disabled = Boolean(what.modality) && option.dataset.modality !== what.modality;
  const first = [...form.elements.station.options].find(option => !option.disabled);
  form.elements.station.value = station || first?.value || '';
  const day = start.slice(0, 8) || board.querySelector('.column')?.dataset.day || '';
  form.elements.day.value = day && `${day.slice(0, 4)}-${day.slice(4, 6)}-${day.slice(6)}`;
  form.elements.time.value = start ? time(start) : '';
  form.elements.minutes.value = what.minutes;
  problem(closed ? say('scheduleClosedwhy', { station: name(station) }) : '');
  force(closed);
  mover.showModal();
  (closed ? form.elements.reason : form.elements.time).focus();
}
function problem(text, place = mover) {
  const line = place.querySelector('.problem');
  line.textContent = text;
  line.hidden = !text;
}
function force(on) {
  mover.querySelector('.forced').hidden = !on;
  form.elements.reason.required = on;
}
for (const each of ['station', 'day', 'time']) form.elements[each].addEventListener('input', () => { force(false); problem(''); });
form.addEventListener('submit', async event => {
  if (event.submitter?.value !== 'move') return;
  event.preventDefault();
  const { station, day, minutes, reason: given } = form.elements;
  const start = `${day.value.replaceAll('-', '')}${form.elements.time.value.replace(':', '').slice(0, 4)}00`;
  try {
    await put(moved, station.value, start, { minutes: Number(minutes.value), force: given.required, reason: given.value });
  } catch (error) {
    const closed = error.told?.code === 'closed';
    problem(closed ? say('scheduleClosedwhy', { station: name(station.value) }) : reason(error, moved, station.value));
    force(closed);
    if (closed) given.focus();
    if (error.told?.code === 'changed') refresh();
  }
});

// -- by hand

function lift(event) {
  const each = event.target.closest?.('[data-movable]');
  if (!each || event.button || event.pointerType === 'touch' || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const box = each.getBoundingClientRect();
  const from = { x: event.clientX, y: event.clientY };
  const offset = each.classList.contains('wait') ? 8 : event.clientY - box.top;

  const begin = () => {
    const rows = Math.max(1, Math.ceil(Number(each.dataset.minutes) / ROW));
    const ghost = element('div', { class: `step ghost is-scheduled${rows <= 3 ? ' short' : ''}` }, element('span', { class: 'when' }), element('span', { class: 'name' }, each.querySelector('.name').textContent));
    each.classList.add('lifted');
    document.body.classList.add('dragging');
    drag = { each, what: told(each), rows, ghost, station: '', start: '', offset };
  };
  const over = at => {
    const column = document.elementsFromPoint(at.clientX, at.clientY).map(found => found.closest('.column')).find(Boolean);
    for (const other of board.querySelectorAll('.column.over')) if (other !== column) other.classList.remove('over');
    if (!column) {
      drag.ghost.remove();
      drag.start = '';
      return;
    }
    const grid = board.querySelector('.grid').dataset;
    const all = Number(grid.hours) * 60 / ROW;
    const place = column.getBoundingClientRect();
    const row = Math.min(all - 1, Math.max(0, Math.round((at.clientY - drag.offset - place.top) / (place.height / all))));
    const minute = Number(grid.first) * 60 + row * ROW;
    const two = value => String(value).padStart(2, '0');
    drag.station = column.dataset.station;
    drag.start = `${column.dataset.day}${two(Math.floor(minute / 60))}${two(minute % 60)}00`;
    const { ghost } = drag;
    for (const name_ of [...ghost.classList]) if (/^[rs]\d+$/.test(name_)) ghost.classList.remove(name_);
    ghost.classList.add(`r${row + 1}`, `s${Math.min(drag.rows, all - row)}`);
    ghost.classList.toggle('wrong', Boolean(drag.what.modality) && drag.what.modality !== column.dataset.modality);
    ghost.querySelector('.when').textContent = time(drag.start);
    column.classList.add('over');
    if (ghost.parentNode !== column) column.append(ghost);
    const edge = frame().getBoundingClientRect();
    if (at.clientY > edge.bottom - 32) frame().scrollTop += 12;
    else if (at.clientY < edge.top + 72) frame().scrollTop -= 12;
  };
  const move = at => {
    if (!drag && Math.hypot(at.clientX - from.x, at.clientY - from.y) < 5) return;
    if (!drag) begin();
    over(at);
  };
  const end = () => {
    removeEventListener('pointermove', move);
    removeEventListener('pointerup', up);
    removeEventListener('pointercancel', cancel);
    removeEventListener('keydown', escape, true);
    if (!drag) return null;
    const done = drag;
    drag = null;
    done.ghost.remove();
    done.each.classList.remove('lifted');
    document.body.classList.remove('dragging');
    for (const column of board.querySelectorAll('.column.over')) column.classList.remove('over');
    // The click that follows a drag opens nothing.
    const silent = click => { click.preventDefault(); click.stopPropagation(); };
    addEventListener('click', silent, { capture: true, once: true });
    setTimeout(() => removeEventListener('click', silent, { capture: true }), 0);
    return done;
  };
  const up = () => {
    const done = end();
    if (done?.start && (done.start !== done.what.start || done.station !== done.what.station || done.what.missed)) drop(done.what, done.station, done.start);
    else if (waiting) refresh();
  };
  const cancel = () => { end(); if (waiting) refresh(); };
  const escape = key => {
    if (key.key !== 'Escape' || !drag) return;
    key.preventDefault();
    key.stopPropagation();
    cancel();
  };
  addEventListener('pointermove', move);
  addEventListener('pointerup', up);
  addEventListener('pointercancel', cancel);
  addEventListener('keydown', escape, true);
}
board.addEventListener('pointerdown', lift);
board.addEventListener('dragstart', event => event.preventDefault());

// -- the details of a step

const details = document.getElementById('details');
const inside = details.querySelector('.body');
async function show(step) {
  try {
    inside.innerHTML = await (await ask(`${body.root}/parts/schedule/steps/${step}`)).text(); // made and escaped by the server
  } catch (error) {
    failed(error);
    return;
  }
  for (const each of inside.querySelectorAll('[data-move]')) each.hidden = false;
  if (!details.open) details.showModal();
  details.querySelector('h2').focus();
}
buttons(inside, step => { refresh(); show(step); });
inside.addEventListener('click', event => {
  if (!event.target.closest('[data-move]')) return;
  const step = inside.querySelector('[data-step]').dataset.step;
  details.close();
  const each = board.querySelector(`[data-step="${step}"]`);
  if (each) dialog(told(each));
});
board.addEventListener('click', async event => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  const wait = event.target.closest('.wait');
  const link = event.target.closest('a.step');
  const free = event.target.closest('[data-free]');
  if (wait) dialog(told(wait));
  else if (link) {
    event.preventDefault();
    show(link.dataset.step);
  } else if (free) {
    try {
      await send(`/blocks/${free.dataset.free}`, undefined, 'DELETE');
      toast(texts.scheduleFreed);
      refresh();
    } catch (error) {
      failed(error);
    }
  }
});

// -- blocking a time

const blocker = document.getElementById('block');
const blocked = blocker.querySelector('form');
blocked.addEventListener('submit', async event => {
  if (event.submitter?.value !== 'block') return;
  event.preventDefault();
  const { station, day, begin, end, note } = blocked.elements;
  const stamp = field => `${day.value.replaceAll('-', '')}${field.value.replace(':', '').slice(0, 4)}00`;
  try {
    await send('/blocks', { station: station.value, begin: stamp(begin), end: stamp(end), note: note.value });
    blocker.close();
    toast(texts.scheduleBlockedit);
    refresh();
  } catch (error) {
    problem(error.message, blocker);
  }
});
keys.set('b', () => {
  if (!blocked.elements.station.options.length) return;
  blocked.reset();
  problem('', blocker);
  blocker.showModal();
});

// -- filters and keys

const filters = document.getElementById('shown');
onChoice(filters, () => filters.requestSubmit());
for (const each of document.querySelectorAll('[data-key]')) keys.set(each.dataset.key, () => location.assign(each.href));
function next(by) {
  const all = [...board.querySelectorAll('[data-step], [data-procedure]')];
  const at = all.indexOf(document.activeElement);
  const to = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + by))];
  to?.focus();
  to?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}
keys.set('j', () => next(1));
keys.set('k', () => next(-1));
keys.set('m', () => {
  const each = document.activeElement?.closest?.('[data-movable]');
  if (each) dialog(told(each));
});
