// Draws one GAN: D's output as a heat map, real points, and generated ones on their way from frame to frame.
const steps = 65535;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Packed coordinates as shares of the frame; 0 to 1 is inside.
export function places(text) {
  const whole = new Uint16Array(bytes(text).buffer);
  return Float32Array.from(whole, (value) => (3 * value) / steps - 1);
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// 256 colours from "says generated" over undecided to "says real", four bytes each.
function ramp() {
  const ends = ["says-generated", "flat", "says-real"].map((name) => channels(colour(name)));
  const colours = new Uint8ClampedArray(4 * 256).fill(255);
  for (let value = 0; value < 256; value += 1) {
    const at = (value / 255) * 2, from = at < 1 ? 0 : 1;
    ends[from].forEach((channel, place) => {
      colours[4 * value + place] = channel + (ends[from + 1][place] - channel) * (at - from);
    });
  }
  return colours;
}

export class Stage {
  constructor(canvas, name) {
    this.canvas = canvas;
    this.name = name; // "left" or "right", also the colour's
    this.surface = document.createElement("canvas");
    this.real = new Float32Array();
    this.from = this.to = new Float32Array();
    this.since = 0;
    this.gap = 40;
    this.recolour();
    new ResizeObserver(() => this.draw(performance.now())).observe(canvas);
  }

  recolour() {
    this.ramp = ramp();
    if (this.values) this.paint();
  }

  begin(real, grid) {
    this.real = places(real);
    this.grid = this.surface.width = this.surface.height = grid;
    this.to = new Float32Array(); // points of another GAN do not fly over
  }

  show(picture) {
    const now = performance.now();
    const to = places(picture.points);
    this.gap = 0.8 * this.gap + 0.2 * Math.min(Math.max(now - this.since, 15), 250);
    this.from = this.to.length === to.length ? this.at(now) : to;
    this.to = to;
    this.since = now;
    this.values = bytes(picture.surface);
    this.paint();
  }

  paint() {
    const context = this.surface.getContext("2d"), image = context.createImageData(this.grid, this.grid);
    this.values.forEach((value, place) => {
      for (let channel = 0; channel < 4; channel += 1) image.data[4 * place + channel] = this.ramp[4 * value + channel];
    });
    context.putImageData(image, 0, 0);
  }

  // Where the points are now, between two frames.
  at(now) {
    const share = calm.matches ? 1 : Math.min((now - this.since) / this.gap, 1);
    return this.from.map((value, place) => value + (this.to[place] - value) * share);
  }

  // Draws, and tells whether anything will have moved by the next time.
  draw(now) {
    const side = Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio, 2));
    if (!side) return false;
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const context = this.canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    if (this.values) context.drawImage(this.surface, 0, 0, side, side);
    const size = Math.max(side / 190, 1.6);
    this.dots(context, this.real, side, size * 0.8, colour("real"), 0.34);
    const points = this.at(now);
    this.tails(context, points, side, size);
    this.dots(context, points, side, size, colour(this.name), 0.85);
    return now - this.since < this.gap;
  }

  dots(context, points, side, size, fill, alpha) {
    context.globalAlpha = alpha;
    context.fillStyle = fill;
    context.beginPath();
    for (let place = 0; place < points.length; place += 2) {
      const x = points[place] * side, y = points[place + 1] * side;
      context.moveTo(x + size, y);
      context.arc(x, y, size, 0, 2 * Math.PI);
    }
    context.fill();
    context.globalAlpha = 1;
  }

  // Where each point has just come from.
  tails(context, points, side, size) {
    if (this.from.length !== points.length) return;
    context.globalAlpha = 0.28;
    context.strokeStyle = colour(this.name);
    context.lineWidth = size * 0.9;
    context.beginPath();
    for (let place = 0; place < points.length; place += 2) {
      context.moveTo(this.from[place] * side, this.from[place + 1] * side);
      context.lineTo(points[place] * side, points[place + 1] * side);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
}
