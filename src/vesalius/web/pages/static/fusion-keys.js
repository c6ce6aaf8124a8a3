// What the keys do where two series are seen side by side and blended.
import { body, keys } from './shell.js';
import { LAYOUTS, MAP_OF, PLANES, at, state } from './fusion-state.js';

function next(list, value, by = 1) {
  return list[(list.indexOf(value) + by + list.length) % list.length];
}
const DIRECTION = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ACROSS = { axial: [[0, 1], [1, 1]], coronal: [[0, 1], [2, -1]], sagittal: [[1, 1], [2, -1]] };

// `does`: what the page can do.
export function bind(does) {
  const { blended, draw, layout, moved, opacity, plane, scrolled, step, swap, zoomed } = does;
  let without = 0.5;
  for (const [key, [across, down]] of Object.entries(DIRECTION)) {
    keys.set(key, event => {
      if (!state.at) return false;
      if (event.shiftKey) {
        const [axis, sign] = ACROSS[state.plane][across ? 0 : 1];
        const to = [...state.at];
        to[axis] += (across || down) * sign * step(axis);
        moved(to);
      } else if (across) {
        return false;
      } else {
        scrolled(state.plane, -down);
      }
      return true;
    });
  }
  keys.set('PageUp', () => scrolled(state.plane, 10));
  keys.set('PageDown', () => scrolled(state.plane, -10));
  for (const name of PLANES) keys.set(name[0], () => plane(name));
  keys.set('l', () => layout(next(Object.keys(LAYOUTS), state.layout)));
  keys.set('[', () => opacity(state.opacity - 0.1));
  keys.set(']', () => opacity(state.opacity + 0.1));
  keys.set('o', () => {
    if (state.opacity > 0) without = state.opacity;
    opacity(state.opacity > 0 ? 0 : without);
  });
  keys.set('m', () => {
    state.colormap = next([...MAP_OF.keys()], state.colormap);
    blended();
    draw();
  });
  keys.set('t', () => {
    state.slab = next([...at('slab').options].map(each => each.value), state.slab);
    blended();
    draw();
  });
  keys.set('x', swap);
  keys.set('h', () => {
    state.hair = !state.hair;
    blended();
    draw();
  });
  keys.set('+', () => zoomed(1.25, state.at));
  keys.set('-', () => zoomed(0.8, state.at));
  keys.set('0', () => zoomed(0));
  for (let digit = 1; digit <= 7; digit += 1) {
    keys.set(String(digit), () => {
      const fitting = [...at('fixed-preset').options].filter(each => !each.disabled && each.value !== 'own');
      const chosen = fitting[digit - 1];
      if (!chosen) return false;
      state.fixed.window = chosen.value;
      draw();
      return true;
    });
  }
  keys.set('Escape', () => location.assign(`${body.root}/studies/${at('fusion').dataset.study}`));
}
