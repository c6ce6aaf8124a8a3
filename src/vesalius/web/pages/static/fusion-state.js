// What is seen of two series of one space, and its address: what is open stands there, so that it can be shared and reloaded.

export const at = id => document.getElementById(id);
export const SIDES = ['fixed', 'moving'];
export const PLANES = ['axial', 'coronal', 'sagittal'];
export const AXIS = { axial: 2, coronal: 1, sagittal: 0 };
export const LAYOUTS = {
  compare: plane => [['fixed', plane], ['moving', plane], ['both', plane]],
  planes: () => PLANES.map(plane => ['both', plane]),
  all: () => ['fixed', 'moving', 'both'].flatMap(show => PLANES.map(plane => [show, plane])),
};
export const MAP_OF = new Map([...at('map').options].map(each => [each.value, each.dataset.colours]));
export const language = document.documentElement.lang;
export const written = (value, digits) =>
  value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const asked = new URLSearchParams(location.search);
const one = (name, choices, otherwise) => (choices.includes(asked.get(name)) ? asked.get(name) : otherwise);
export const state = {
  layout: one('layout', Object.keys(LAYOUTS), 'compare'),
  plane: one('plane', PLANES, 'axial'),
  at: null, // LPS mm of the fixed series
  centre: null, // of all panes
  zoom: 1,
  opacity: 0.5,
  colormap: one('map', [...MAP_OF.keys()], 'hot-iron'),
  slab: asked.get('slab') ?? '0',
  projection: one('projection', ['mip', 'mean', 'minip'], 'mip'),
  hair: asked.get('hair') !== '0',
  smooth: asked.get('smooth') !== '0',
  fixed: { unit: asked.get('fixed_unit'), part: asked.get('fixed_part'), window: asked.get('fixed_window') ?? '' },
  moving: { unit: asked.get('moving_unit'), part: asked.get('moving_part'), window: asked.get('moving_window') ?? '' },
};
if (/^(0(\.\d+)?|1)$/.test(asked.get('opacity') ?? '')) state.opacity = Number(asked.get('opacity'));

export function remember() {
  const query = new URLSearchParams();
  const put = (name, value, usual) => { if (value !== null && value !== '' && String(value) !== usual) query.set(name, value); };
  for (const side of SIDES) {
    query.set(side, at(side).value);
    put(`${side}_unit`, state[side].unit, 'natural');
    put(`${side}_part`, state[side].part, '');
    put(`${side}_window`, state[side].window, '');
  }
  put('layout', state.layout, 'compare');
  put('plane', state.plane, 'axial');
  if (state.at) put('at', state.at.map(each => Math.round(each * 100) / 100).join(','), '');
  put('opacity', state.opacity, '0.5');
  put('map', state.colormap, 'hot-iron');
  put('slab', state.slab, '0');
  put('projection', state.projection, 'mip');
  put('hair', state.hair ? '' : '0', '');
  put('smooth', state.smooth ? '' : '0', '');
  history.replaceState(null, '', `${location.pathname}?${query}`);
}
let soon = 0;
export function changed() {
  clearTimeout(soon);
  soon = setTimeout(remember, 200);
}
