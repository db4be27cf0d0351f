// Small charts on canvases, in the page's colours: lines over the updates, on a log scale.
import { colour } from "./stage.js";

const left = 34, right = 8, top = 6, bottom = 20;

function ticks(low, high) {
  const found = [], span = Math.log10(high / low);
  const steps = span > 2.5 ? [1] : span > 1 ? [1, 3] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
    for (const step of steps) {
      const value = step * 10 ** power;
      if (value >= low && value <= high) found.push([value, String(Number(value.toPrecision(2)))]);
    }
  return found;
}

export const count = (number) => (number >= 1e6 ? `${+(number / 1e6).toPrecision(3)} M` : number.toLocaleString("en"));

// lines: {points: [[x, y]], colour, width, dashes, steps, held}; held says for each point whether a hand led there, which is
// drawn as a strip along the ground. marks: horizontal {y, label}
export function chart(canvas, { lines, low, high, end, marks = [], labels = null }) {
  const ratio = Math.min(devicePixelRatio, 2), width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !end) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = `10.5px ${getComputedStyle(document.body).fontFamily}`;
  const x = (value) => left + (value / end) * (width - left - right);
  const y = (value) => {
    const share = Math.log(Math.min(Math.max(value, low), high) / low) / Math.log(high / low);
    return height - bottom - share * (height - top - bottom);
  };
  const dim = colour("dim"), hair = colour("hair");
  context.textBaseline = "middle";
  for (const [value, label] of labels || ticks(low, high)) {
    stroke(context, [[left, y(value)], [width - right, y(value)]], { colour: hair });
    context.fillStyle = dim;
    context.textAlign = "right";
    context.fillText(label, left - 5, y(value));
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  context.fillText("0", left, height - 3);
  context.textAlign = "right";
  context.fillText(count(end), width - right, height - 3);
  for (const mark of marks) {
    stroke(context, [[left, y(mark.y)], [width - right, y(mark.y)]], { colour: dim, dashes: [4, 3] });
    context.fillStyle = dim;
    context.fillText(mark.label, width - right, y(mark.y) + 11);
  }
  lines.forEach((line, place) => {
    const placed = [];
    line.points.forEach(([at, value], step) => {
      if (line.steps && step) placed.push([x(line.points[step - 1][0]), y(value)]);
      placed.push([x(at), y(value)]);
    });
    stroke(context, placed, line);
    line.held?.forEach((held, at) => {
      if (!held || !at) return;
      context.fillStyle = line.colour;
      const from = x(line.points[at - 1][0]);
      context.fillRect(from, height - bottom + 2 + 3 * place, x(line.points[at][0]) - from + 0.5, 2);
    });
    const last = placed.at(-1);
    if (!last) return;
    context.fillStyle = line.colour;
    context.beginPath();
    context.arc(last[0], last[1], 2.6, 0, 2 * Math.PI);
    context.fill();
  });
}

function stroke(context, points, { colour: ink, width = 1, dashes = [] }) {
  context.strokeStyle = ink;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.setLineDash(dashes);
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(x, y));
  context.stroke();
  context.setLineDash([]);
}
