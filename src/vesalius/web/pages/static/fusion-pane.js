// One picture of the fusion page: fetched, drawn, and what a hand does on it told in mm of the patient.
import { ask, texts } from './shell.js';

// Of requests that come faster than they are answered the newest counts, and one is under way.
export function latest(run, done, wrong) {
  let wanted = null;
  let busy = false;
  return async what => {
    wanted = what;
    if (busy) return;
    busy = true;
    while (wanted !== null) {
      const mine = wanted;
      wanted = null;
      try {
        const found = await run(mine);
        done(found); // while more is wanted, too: who scrolls sees something move
      } catch (error) {
        if (wanted === null) wrong(error);
      }
    }
    busy = false;
  };
}

const LETTERS = [['R', 'L'], ['A', 'P'], ['F', 'H']]; // towards lower and higher x, y, z of LPS
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const made = (name, text = '') => Object.assign(document.createElement(name), { textContent: text });
const letter = direction => {
  const axis = direction.map(Math.abs).indexOf(Math.max(...direction.map(Math.abs)));
  return LETTERS[axis][direction[axis] > 0 ? 1 : 0];
};

export class Pane {
  constructor(view, show, plane, hands) {
    Object.assign(this, { view, show, plane, hands, picture: null, told: null, open: true, turn: 0 });
    this.figure = document.createElement('figure');
    this.figure.dataset.show = show;
    this.figure.dataset.plane = plane;
    this.canvas = document.createElement('canvas');
    this.canvas.setAttribute('role', 'img');
    this.canvas.tabIndex = 0;
    this.says = document.createElement('figcaption');
    this.waiting = made('p', texts.fusionLoading);
    this.waiting.className = 'wait';
    this.figure.append(this.canvas, this.waiting, this.says);
    this.fetch = latest(async address => {
      const { turn } = this;
      const answer = await ask(address);
      const told = JSON.parse(answer.headers.get('Vesalius-Picture'));
      return { turn, address, told, picture: await createImageBitmap(await answer.blob()) };
    }, found => this.show_(found), error => this.wait(error.message, true));
    this.listen();
  }

  close() {
    this.open = false;
  }

  caption({ name, plane, position, prior }) {
    const old = made('i', prior && ` · ${texts.fusionPrior} ${prior}`);
    old.className = 'prior';
    this.says.replaceChildren(made('b', name), made('i', ` · ${plane} · ${position}`), old);
    this.canvas.setAttribute('aria-label', `${name}, ${plane}, ${position}`);
  }

  wait(text, bad = false) {
    this.turn += 1;
    delete this.figure.dataset.shown;
    this.waiting.textContent = text;
    this.waiting.classList.toggle('bad', bad);
    this.waiting.hidden = false;
    if (bad) {
      this.picture = null;
      this.paint();
    }
  }

  want(address, told) {
    this.tell = told;
    this.figure.dataset.wanted = address;
    if (this.figure.dataset.shown !== address) this.fetch(address);
  }

  show_(found) {
    // A picture that was asked for before other series were chosen must not stand under their names.
    if (!this.open || found.turn !== this.turn) return;
    this.picture?.close();
    Object.assign(this, { picture: found.picture, told: found.told });
    const [[ax, bx, , ox], [ay, by, , oy], [az, bz, , oz]] = found.told.affine_lps_mm;
    const size = Math.hypot(ax, ay, az);
    this.right = [ax / size, ay / size, az / size];
    this.down = [bx / size, by / size, bz / size];
    this.origin = [ox, oy, oz];
    this.size = size;
    this.waiting.hidden = true;
    this.figure.dataset.shown = found.address;
    this.tell?.(found.told);
    this.paint();
  }

  // Where a point of the patient is on the canvas, in CSS pixels; and the other way round.
  placed(point) {
    const from = point.map((each, axis) => each - this.view.state.centre[axis]);
    return [this.width / 2 + dot(from, this.right) * this.scale, this.height / 2 + dot(from, this.down) * this.scale];
  }

  pointAt(x, y) {
    const across = (x - this.width / 2) / this.scale;
    const down = (y - this.height / 2) / this.scale;
    const { centre, at } = this.view.state;
    // In the plane as seen, at the depth of the cross-hair.
    return at.map((each, axis) => {
      const normal = Math.abs(this.right[axis]) + Math.abs(this.down[axis]) < 1e-9;
      return normal ? each : centre[axis] + across * this.right[axis] + down * this.down[axis];
    });
  }

  paint() {
    const box = this.canvas.getBoundingClientRect();
    const dense = window.devicePixelRatio || 1;
    if (!box.width || !box.height) return;
    this.width = box.width;
    this.height = box.height;
    const [width, height] = [Math.round(box.width * dense), Math.round(box.height * dense)];
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    const pen = this.canvas.getContext('2d');
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, box.width, box.height);
    if (!this.picture) return;
    const { state } = this.view;
    const [wide, high] = [this.picture.width * this.size, this.picture.height * this.size];
    this.scale = Math.min(box.width / wide, box.height / high) * state.zoom;
    const [x, y] = this.placed(this.origin);
    const half = (this.size * this.scale) / 2;
    pen.imageSmoothingEnabled = state.smooth;
    pen.imageSmoothingQuality = 'high';
    pen.drawImage(this.picture, x - half, y - half, wide * this.scale, high * this.scale);
    if (state.hair) this.hair(pen);
    this.marks(pen);
  }

  hair(pen) {
    const [x, y] = this.placed(this.view.state.at);
    const gap = 10;
    for (const [colour, width] of [['#000', 3], ['#6cc0b8', 1]]) {
      pen.strokeStyle = colour;
      pen.globalAlpha = colour === '#000' ? 0.35 : 0.9;
      pen.lineWidth = width;
      pen.beginPath();
      for (const [a, b, c, d] of [[0, y, x - gap, y], [x + gap, y, this.width, y], [x, 0, x, y - gap], [x, y + gap, x, this.height]]) {
        pen.moveTo(a, b);
        pen.lineTo(c, d);
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  text(pen, text, x, y, align = 'left') {
    pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    pen.textAlign = align;
    pen.textBaseline = 'middle';
    pen.lineWidth = 3;
    pen.strokeStyle = 'rgb(0 0 0 / 0.8)';
    pen.strokeText(text, x, y);
    pen.fillStyle = '#e9e9e9';
    pen.fillText(text, x, y);
  }

  // Sides of the patient, a scale, and what the colours mean.
  marks(pen) {
    const { width, height } = this;
    const { written } = this.view;
    this.text(pen, letter(this.right.map(each => -each)), 12, height / 2, 'center');
    this.text(pen, letter(this.right), width - 12, height / 2, 'center');
    this.text(pen, letter(this.down.map(each => -each)), width / 2, 34, 'center');
    this.text(pen, letter(this.down), width / 2, height - 12, 'center');
    const length = [200, 100, 50, 20, 10, 5, 2, 1].find(mm => mm * this.scale <= Math.min(140, width / 3)) ?? 1;
    pen.strokeStyle = '#e9e9e9';
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(12, height - 16);
    pen.lineTo(12, height - 11);
    pen.lineTo(12 + length * this.scale, height - 11);
    pen.lineTo(12 + length * this.scale, height - 16);
    pen.stroke();
    this.text(pen, `${length} mm`, 16, height - 22);
    const side = this.show === 'fixed' ? 'fixed' : 'moving';
    const [centre, wide] = this.told[side].window;
    const tall = Math.max(36, Math.min(140, height / 2 - 56));
    const [left, top] = [width - 16, 14];
    const colours = side === 'fixed' ? '000000ffffff' : this.view.colours();
    const shades = pen.createLinearGradient(0, top + tall, 0, top);
    const stops = colours.length / 6;
    for (let at = 0; at < stops; at += 1) shades.addColorStop(at / (stops - 1), `#${colours.slice(at * 6, at * 6 + 6)}`);
    pen.fillStyle = shades;
    pen.fillRect(left, top, 8, tall);
    pen.strokeStyle = '#6b6b6b';
    pen.lineWidth = 1;
    pen.strokeRect(left - 0.5, top - 0.5, 9, tall + 1);
    const digits = wide < 20 ? 1 : 0;
    this.text(pen, written(centre + wide / 2, digits), left - 5, top + 4, 'right');
    this.text(pen, written(centre - wide / 2, digits), left - 5, top + tall - 3, 'right');
    this.text(pen, this.told[side].unit_label || this.told[side].unit, width - 8, top + tall + 13, 'right');
  }

  listen() {
    const { canvas, hands } = this;
    let drag = null;
    const place = event => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener('contextmenu', event => event.preventDefault());
    canvas.addEventListener('focus', () => hands.chose(this.plane));
    canvas.addEventListener('pointerdown', event => {
      if (!this.picture) return;
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      drag = { button: event.button, x: event.clientX, y: event.clientY };
      if (event.button === 0) hands.moved(this.pointAt(...place(event)));
      event.preventDefault();
    });
    canvas.addEventListener('pointermove', event => {
      if (!drag || !this.picture) return;
      const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
      Object.assign(drag, { x: event.clientX, y: event.clientY });
      if (drag.button === 0) {
        hands.moved(this.pointAt(...place(event)));
      } else if (drag.button === 2) {
        hands.windowed(this.show, across, down);
      } else {
        const { state } = this.view;
        state.centre = state.centre.map((each, axis) => each - (across * this.right[axis] + down * this.down[axis]) / this.scale);
        hands.zoomed(1);
      }
    });
    for (const end of ['pointerup', 'pointercancel']) canvas.addEventListener(end, () => { drag = null; });
    let turned = 0;
    canvas.addEventListener('wheel', event => {
      event.preventDefault();
      hands.chose(this.plane);
      if (event.ctrlKey) {
        if (this.picture) hands.zoomed(event.deltaY < 0 ? 1.15 : 1 / 1.15, this.pointAt(...place(event)));
        return;
      }
      turned += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY;
      const steps = Math.trunc(turned);
      if (!steps) return;
      turned -= steps;
      hands.scrolled(this.plane, -steps);
    }, { passive: false });
  }
}
