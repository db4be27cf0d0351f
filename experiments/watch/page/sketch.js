// The dialog in which a person draws a distribution.
import { pack, unpack } from "./address.js";
import { colour } from "./stage.js";

const spacing = 0.022, most = 900; // of points along a stroke, on a canvas from -1 to 1
const curve = (count, place) => Array.from({ length: count }, (_, at) => place((2 * Math.PI * at) / count));
const shapes = {
  heart: () => [curve(240, (t) => [0.05 * 16 * Math.sin(t) ** 3, 0.05 * (13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t)) + 0.1])],
  star: () => [Array.from({ length: 11 }, (_, at) => [Math.sin, Math.cos].map((axis) => (at % 2 ? 0.36 : 0.88) * axis((Math.PI * at) / 5)))],
  infinity: () => [curve(240, (t) => [(0.9 * Math.cos(t)) / (1 + Math.sin(t) ** 2), (0.9 * Math.sin(t) * Math.cos(t)) / (1 + Math.sin(t) ** 2)])],
  smile: () => [
    curve(160, (t) => [0.85 * Math.cos(t), 0.85 * Math.sin(t)]),
    curve(80, (t) => [0.5 * Math.cos(Math.PI + t / 2), 0.5 * Math.sin(Math.PI + t / 2)]),
    curve(24, (t) => [-0.3 + 0.08 * Math.cos(t), 0.28 + 0.08 * Math.sin(t)]),
    curve(24, (t) => [0.3 + 0.08 * Math.cos(t), 0.28 + 0.08 * Math.sin(t)]),
  ],
};

export class Sketch {
  // use: called with the packed drawing; it returns an error's words, or nothing
  constructor(use) {
    this.dialog = document.getElementById("sketch");
    this.pad = document.getElementById("pad");
    this.message = document.getElementById("sketch-message");
    this.points = [];
    const press = (event) => {
      event.preventDefault();
      this.pad.setPointerCapture(event.pointerId);
      this.last = null;
      this.move(event);
    };
    this.pad.addEventListener("pointerdown", press);
    this.pad.addEventListener("pointermove", (event) => event.buttons && this.move(event));
    for (const [name, make] of Object.entries(shapes)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => {
        this.points = [];
        for (const stroke of make()) {
          this.last = null;
          stroke.forEach((place) => this.add(place));
        }
        this.draw();
      });
      document.getElementById("shapes").append(button);
    }
    document.getElementById("sketch-clear").addEventListener("click", () => { this.points = []; this.draw(); });
    document.getElementById("sketch-cancel").addEventListener("click", () => this.dialog.close());
    document.getElementById("sketch-use").addEventListener("click", async () => {
      const wrong = await use(pack(this.points));
      this.message.hidden = !wrong;
      this.message.textContent = wrong || "";
      if (!wrong) this.dialog.close();
    });
  }

  open(packed) {
    if (packed) this.points = unpack(packed);
    this.message.hidden = true;
    this.dialog.showModal();
    this.draw();
  }

  move(event) {
    for (const each of event.getCoalescedEvents?.().length ? event.getCoalescedEvents() : [event]) {
      const box = this.pad.getBoundingClientRect();
      const place = [(2 * (each.clientX - box.left)) / box.width - 1, 1 - (2 * (each.clientY - box.top)) / box.height];
      this.add(place.map((value) => Math.min(Math.max(value, -1), 1)));
    }
    this.draw();
  }

  // Adds points from the stroke's last one to a place, evenly.
  add(place) {
    const from = this.last || place;
    const pieces = Math.max(1, Math.floor(Math.hypot(place[0] - from[0], place[1] - from[1]) / spacing));
    if (this.last && pieces === 1 && Math.hypot(place[0] - from[0], place[1] - from[1]) < spacing) return;
    for (let piece = 1; piece <= pieces && this.points.length < most; piece += 1)
      this.points.push(from.map((value, axis) => value + ((place[axis] - value) * piece) / pieces));
    this.last = place;
  }

  draw() {
    const context = this.pad.getContext("2d"), size = this.pad.width;
    context.clearRect(0, 0, size, size);
    context.fillStyle = colour("ink");
    context.globalAlpha = 0.55;
    for (const [x, y] of this.points) {
      context.beginPath();
      context.arc(((x + 1) * size) / 2, ((1 - y) * size) / 2, size * 0.011, 0, 2 * Math.PI);
      context.fill();
    }
    context.globalAlpha = 1;
    this.message.hidden = true;
  }
}
