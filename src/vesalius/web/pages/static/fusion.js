// Two series of one space: panes of pictures that the archive makes, one cross-hair in mm through all of them, and the
// values of both series there.
import { ask, body, failed, say, texts, toast } from './shell.js';
import { bind } from './fusion-keys.js';
import { Pane, latest } from './fusion-pane.js';
import { AXIS, LAYOUTS, MAP_OF, SIDES, asked, at, changed, language, remember, state, written } from './fusion-state.js';

const page = at('fusion');

// -- the two series

const known = { fixed: null, moving: null }; // their chosen part as the archive describes it
let load = 0;

const option = side => at(side).selectedOptions[0];
const base = side => `${body.api}/volumes/${encodeURIComponent(at(side).value)}`;

function pair() {
  const query = new URLSearchParams({ fixed: at('fixed').value, moving: at('moving').value });
  for (const side of SIDES) {
    if (state[side].unit) query.set(`${side}_unit`, state[side].unit);
    if (state[side].part !== null) query.set(`${side}_part`, state[side].part);
  }
  return query;
}

async function described(side) {
  const own = state[side];
  // PET is read in SUV wherever the header allows it; where not, the reason is told below the figures.
  if (!own.unit) own.unit = ['PT'].includes(option(side).dataset.modality) ? 'suvbw' : 'natural';
  let told;
  own.without = '';
  try {
    told = await (await ask(`${base(side)}?unit=${own.unit}`)).json();
  } catch (error) {
    if (own.unit === 'natural') throw error;
    told = await (await ask(base(side))).json();
    own.without = error.message;
    own.unit = 'natural';
  }
  const volumes = told.parts.filter(part => !part.localizer);
  if (!volumes.length) throw new Error(texts.fusionNone);
  const chosen = volumes.find(part => String(part.part) === own.part) ?? volumes.find(part => part.part === 0) ?? volumes[0];
  own.part = told.parts.length > 1 ? String(chosen.part) : null;
  const list = at(`${side}-part`);
  list.replaceChildren(...volumes.map(part => new Option(part.label || say('fusionPart', { number: part.part + 1 }), part.part)));
  list.value = String(chosen.part);
  list.closest('.part').hidden = volumes.length < 2;
  at(`${side}-unit`).value = own.unit;
  return chosen;
}

function presets(side) {
  const unit = known[side].unit;
  const kind = unit === "[hnsf'U]" ? 'hu' : unit.includes('{SUV') ? 'suv' : '';
  for (const each of at(`${side}-preset`).options) {
    if (each.dataset.for) each.hidden = each.disabled = each.dataset.for !== kind;
  }
}

// Opens the two series that are chosen. `keep`: the point and the zoom stay where that is possible.
async function open({ keep = false } = {}) {
  const turn = ++load;
  page.classList.remove('apart');
  at('apart').hidden = true;
  at('panes').hidden = false;
  at('panes').setAttribute('aria-busy', 'true');
  at('link').textContent = '';
  panes.forEach(pane => pane.wait(texts.fusionLoading));
  try {
    const [fixed, moving] = await Promise.all(SIDES.map(described));
    if (turn !== load) return;
    Object.assign(known, { fixed, moving });
  } catch (error) {
    if (turn === load) panes.forEach(pane => pane.wait(error.message, true));
    return;
  }
  SIDES.forEach(presets);
  const [low, high] = known.fixed.bounds_lps_mm;
  const middle = low.map((each, axis) => (each + high[axis]) / 2);
  const inside = point => point.every((each, axis) => each >= low[axis] && each <= high[axis]);
  if (!keep || !state.at || !inside(state.at)) {
    const wanted = (asked.get('at') ?? '').split(',').map(Number);
    state.at = !keep && wanted.length === 3 && wanted.every(Number.isFinite) && inside(wanted) ? wanted : middle.map((each, axis) => snapped(axis, each));
    state.centre = middle;
    state.zoom = 1;
  }
  asked.delete('at');
  const query = pair();
  query.set('at', state.at.join(','));
  try {
    const answer = await fetch(`${body.api}/volumes/values?${query}`);
    const told = await answer.json();
    if (turn !== load) return;
    if (!answer.ok) {
      apart(told.detail);
      return;
    }
    linked(told.link);
  } catch {
    if (turn === load) panes.forEach(pane => pane.wait(texts.offline, true));
    return;
  }
  at('panes').setAttribute('aria-busy', 'false');
  draw();
  look();
  remember();
}

function linked(kind) {
  const line = at('link');
  line.classList.toggle('computed', kind !== 'SAME');
  line.textContent = kind === 'SAME' ? texts.fusionSame : say('fusionLinked', { kind });
  at('notes').replaceChildren(...SIDES.flatMap(side => {
    const words = known[side].notes.map(note => note.message);
    if (state[side].without) words.unshift(state[side].without);
    return words.map(text => Object.assign(document.createElement('li'), { textContent: `${option(side).dataset.short}: ${text}`, lang: 'en' }));
  }));
}

// -- no common space: the reason, both series by themselves, and the offer

function apart(why) {
  page.classList.add('apart');
  at('panes').hidden = true;
  at('apart').hidden = false;
  at('apart-title').textContent = texts.fusionApart;
  const frames = SIDES.map(side => known[side].frame_of_reference);
  const differ = frames.every(Boolean) && frames[0] !== frames[1];
  at('apart-why').textContent = differ ? texts.fusionDiffer : why;
  at('apart-why').lang = differ ? language : 'en';
  at('register').hidden = !differ;
  at('apart-both').replaceChildren(...SIDES.map(side => {
    const figure = document.createElement('figure');
    const picture = new Image();
    const query = new URLSearchParams({ plane: state.plane, unit: state[side].unit });
    if (state[side].part !== null) query.set('part', state[side].part);
    picture.alt = option(side).textContent;
    picture.src = `${base(side)}/slice.png?${query}`;
    const caption = document.createElement('figcaption');
    caption.textContent = say('fusionAlone', { series: option(side).textContent.trim() });
    figure.append(picture, caption);
    return figure;
  }));
  remember();
}

let registering = null;
at('register').addEventListener('submit', async event => {
  event.preventDefault();
  if (registering) return;
  registering = new AbortController();
  const show = busy => {
    at('register-busy').hidden = at('register-stop').hidden = !busy;
    event.target.querySelector('.primary').disabled = busy;
  };
  show(true);
  try {
    const what = { fixed: at('fixed').value, moving: at('moving').value, who: event.target.elements.who.value };
    const answer = await ask(`${body.api}/registrations`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(what), signal: registering.signal,
    });
    const told = await answer.json();
    toast(say('fusionRegistered', { residual: written(told.residual_mm, 1) }), { seconds: 30 });
    open();
  } catch (error) {
    if (!registering.signal.aborted) failed(error);
  } finally {
    registering = null;
    show(false);
  }
});
at('register-stop').addEventListener('click', () => registering?.abort());

// -- panes

let panes = [];
const view = { state, known, colours: () => MAP_OF.get(state.colormap), written, step };

function address(show, plane) {
  const query = pair();
  query.set('plane', plane);
  query.set('position', state.at[AXIS[plane]].toFixed(3));
  query.set('show', show);
  for (const side of SIDES) if (state[side].window) query.set(`${side}_window`, `${state[side].window},linear-exact`);
  if (show === 'both') query.set('opacity', state.opacity.toFixed(2));
  query.set('colormap', state.colormap);
  if (state.slab !== '0') {
    query.set('slab', state.slab);
    query.set('projection', state.projection);
  }
  if (!state.smooth) query.set('interpolation', 'nearest');
  return `${body.api}/volumes/fusion.png?${query}`;
}

function build() {
  const wanted = LAYOUTS[state.layout](state.plane);
  panes.forEach(pane => pane.close());
  panes = wanted.map(([show, plane]) => new Pane(view, show, plane, { moved, scrolled, zoomed, windowed, chose }));
  at('panes').dataset.layout = state.layout;
  panes[state.layout === 'compare' ? 2 : 0].figure.classList.add('large');
  at('panes').replaceChildren(...panes.map(pane => pane.figure));
  for (const button of page.querySelectorAll('button[data-layout]')) button.setAttribute('aria-pressed', String(button.dataset.layout === state.layout));
  marks();
}

function marks() {
  for (const button of page.querySelectorAll('button[data-plane]')) button.setAttribute('aria-pressed', String(button.dataset.plane === state.plane));
  for (const pane of panes) pane.figure.classList.toggle('chosen', state.layout !== 'compare' && pane.plane === state.plane);
}

function draw() {
  if (!state.at || !known.fixed) return;
  for (const pane of panes) {
    pane.caption({
      name: pane.show === 'both' ? SIDES.map(side => option(side).dataset.short).join(' + ') : option(pane.show).dataset.short,
      plane: page.querySelector(`button[data-plane=${pane.plane}]`).textContent,
      position: `${'xyz'[AXIS[pane.plane]]} ${written(state.at[AXIS[pane.plane]], 1)} mm`,
      prior: (pane.show === 'both' ? SIDES : [pane.show]).map(side => option(side).dataset.prior).find(Boolean) ?? '',
    });
    pane.want(address(pane.show, pane.plane), told => used(told));
    pane.paint();
  }
  changed();
}

// The windows that the archive chose are shown as what they are.
function used(told) {
  for (const side of SIDES) {
    // A picture may be older than the hand that is on the window.
    const [centre, width] = state[side].window ? state[side].window.split(',').map(Number) : told[side].window;
    state[side].shown = [centre, width];
    if (document.activeElement !== at(`${side}-centre`)) at(`${side}-centre`).value = Math.round(centre * 1000) / 1000;
    if (document.activeElement !== at(`${side}-width`)) at(`${side}-width`).value = Math.round(width * 1000) / 1000;
    const list = at(`${side}-preset`);
    const fits = [...list.options].some(each => each.value === state[side].window && !each.disabled);
    list.value = fits ? state[side].window : 'own';
  }
}

// -- the cross-hair and the values below it

function step(axis) {
  const affine = known.fixed.affine_lps_mm;
  const parts = [0, 1, 2].map(column => Math.abs(affine[axis][column]));
  const most = Math.max(...parts);
  const along = parts.indexOf(most);
  const whole = Math.hypot(affine[0][along], affine[1][along], affine[2][along]);
  return most / whole > 0.999999 ? most : Math.min(...known.fixed.spacing_mm);
}
function snapped(axis, value) {
  const [low, high] = known.fixed.bounds_lps_mm;
  const by = step(axis);
  const first = known.fixed.affine_lps_mm[axis][3];
  const found = first + Math.round((value - first) / by) * by;
  return Math.min(high[axis] - 0.01, Math.max(low[axis] + 0.01, found));
}

const values = latest(async address => (await ask(address)).json(), told => {
  for (const side of SIDES) {
    const { value, unit, unit_label: label } = told[side];
    const says = at(`value-${side}`);
    const digits = unit === "[hnsf'U]" || state[side].unit === 'stored' ? 0 : unit.includes('{SUV') ? 2 : Math.abs(value ?? 0) < 100 ? 2 : 0;
    says.replaceChildren(value === null ? texts.fusionOutside : written(value, digits));
    says.dataset.value = value ?? '';
    const unitSays = Object.assign(document.createElement('span'), { className: 'unit', textContent: ` ${state[side].unit === 'stored' ? texts.fusionRaw : label || unit}` });
    if (value !== null) says.append(unitSays);
    at(`says-${side}`).textContent = option(side).dataset.short;
  }
  at('values').dataset.at = told.position_mm.join(',');
}, failed);

function look() {
  const query = pair();
  query.set('at', state.at.map(each => each.toFixed(3)).join(','));
  query.set('interpolation', 'nearest');
  values(`${body.api}/volumes/values?${query}`);
  ['x', 'y', 'z'].forEach((name, axis) => {
    if (document.activeElement !== at(`at-${name}`)) at(`at-${name}`).value = Math.round(state.at[axis] * 10) / 10;
  });
}

function moved(point) {
  const [low, high] = known.fixed.bounds_lps_mm;
  state.at = point.map((each, axis) => Math.min(high[axis] - 0.01, Math.max(low[axis] + 0.01, each)));
  draw();
  look();
}
function scrolled(plane, by) {
  if (!state.at) return;
  const axis = AXIS[plane];
  const next = [...state.at];
  // Upwards in the body, forwards and to the left of the patient are higher numbers of the wheel.
  next[axis] = snapped(axis, next[axis] + by * step(axis));
  moved(next);
}
function zoomed(factor, keep) {
  const zoom = Math.min(16, Math.max(1, state.zoom * factor));
  if (keep) state.centre = state.centre.map((each, axis) => keep[axis] - (keep[axis] - each) * (state.zoom / zoom));
  state.zoom = zoom;
  if (zoom === 1 && known.fixed) state.centre = known.fixed.bounds_lps_mm[0].map((each, axis) => (each + known.fixed.bounds_lps_mm[1][axis]) / 2);
  panes.forEach(pane => pane.paint());
}
function windowed(show, across, down) {
  const side = show === 'fixed' ? 'fixed' : 'moving';
  if (!state[side].shown) return;
  const [centre, width] = state[side].shown;
  const wide = Math.max(width * (1 + across / 200), 0.01);
  choose(side, centre + (down / 200) * width, wide);
}
function choose(side, centre, width) {
  const short = value => String(Math.round(Number(value.toPrecision(6)) * 1000) / 1000);
  state[side].window = `${short(centre)},${short(Math.max(width, 0.01))}`;
  state[side].shown = [centre, width];
  draw();
}
function chose(plane) {
  if (state.plane === plane) return;
  state.plane = plane;
  marks();
  changed();
}

// -- controls

at('controls').addEventListener('submit', event => event.preventDefault());
for (const side of SIDES) {
  at(side).addEventListener('change', () => {
    Object.assign(state[side], { unit: null, part: null, window: '' });
    open({ keep: side === 'moving' });
  });
  at(`${side}-part`).addEventListener('change', event => {
    state[side].part = event.target.value;
    open({ keep: true });
  });
  at(`${side}-unit`).addEventListener('change', async event => {
    const before = state[side].unit;
    Object.assign(state[side], { unit: event.target.value, window: '' });
    await open({ keep: true });
    if (state[side].without) toast(state[side].without, { bad: true });
    else if (state[side].unit !== event.target.value) state[side].unit = before;
  });
  at(`${side}-preset`).addEventListener('change', event => {
    state[side].window = event.target.value === 'own' ? state[side].window : event.target.value;
    draw();
  });
  for (const name of ['centre', 'width']) {
    at(`${side}-${name}`).addEventListener('change', () => {
      const [centre, width] = ['centre', 'width'].map(each => at(`${side}-${each}`).valueAsNumber);
      if (Number.isFinite(centre) && width > 0) choose(side, centre, width);
    });
  }
}
['x', 'y', 'z'].forEach((name, axis) => at(`at-${name}`).addEventListener('change', event => {
  if (!Number.isFinite(event.target.valueAsNumber) || !state.at) return;
  const next = [...state.at];
  next[axis] = event.target.valueAsNumber;
  moved(next);
}));

function blended() {
  at('opacity').value = Math.round(state.opacity * 100);
  at('opacity-says').textContent = `${Math.round(state.opacity * 100)} %`;
  at('map').value = state.colormap;
  at('slab').value = state.slab;
  at('projection').value = state.projection;
  at('projection').disabled = state.slab === '0';
  at('hair').checked = state.hair;
  at('smooth').checked = state.smooth;
}
function opacity(value) {
  state.opacity = Math.round(Math.min(1, Math.max(0, value)) * 100) / 100;
  blended();
  draw();
}
at('opacity').addEventListener('input', event => opacity(event.target.value / 100));
for (const [id, name] of [['map', 'colormap'], ['slab', 'slab'], ['projection', 'projection']]) {
  at(id).addEventListener('change', event => {
    state[name] = event.target.value;
    blended();
    draw();
  });
}
for (const name of ['hair', 'smooth']) {
  at(name).addEventListener('change', event => {
    state[name] = event.target.checked;
    draw();
  });
}
function swap() {
  const [fixed, moving] = SIDES.map(side => at(side).value);
  at('fixed').value = moving;
  at('moving').value = fixed;
  [state.fixed, state.moving] = [state.moving, state.fixed];
  open({ keep: true });
}
at('swap').addEventListener('click', swap);
function layout(name) {
  state.layout = name;
  build();
  draw();
}
function plane(name) {
  state.plane = name;
  if (state.layout === 'compare') layout('compare');
  else marks();
  changed();
}
page.querySelectorAll('button[data-layout]').forEach(each => each.addEventListener('click', () => layout(each.dataset.layout)));
page.querySelectorAll('button[data-plane]').forEach(each => each.addEventListener('click', () => plane(each.dataset.plane)));
// A list that was chosen from by hand gives the keys back to the pictures.
for (const list of page.querySelectorAll('select')) {
  let byHand = false;
  list.addEventListener('pointerdown', () => { byHand = true; });
  list.addEventListener('keydown', () => { byHand = false; });
  list.addEventListener('change', () => { if (byHand) list.blur(); });
}

bind({ blended, draw, layout, moved, opacity, plane, scrolled, step, swap, zoomed });

let size = 0;
new ResizeObserver(() => {
  cancelAnimationFrame(size);
  size = requestAnimationFrame(() => panes.forEach(pane => pane.paint()));
}).observe(at('panes'));

build();
blended();
open();
