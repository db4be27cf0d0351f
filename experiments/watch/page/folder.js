// What an open run folder holds: the curves of its training, and the standings of its benchmark.
import { chart } from "./charts.js";
import { colour } from "./stage.js";

const inks = ["ink", "dim", "left", "right"];

function element(parent, tag, text = "", kind = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  parent.append(made);
  return made;
}

export function showFolder(box, folder) {
  box.hidden = !folder;
  if (!folder) return;
  box.replaceChildren();
  element(box, "h2", `Folder ${folder.name}`);
  const drawn = folder.curves.slice(0, inks.length);
  if (drawn.length) {
    const figure = element(box, "figure");
    element(figure, "figcaption", "Training ").append(Object.assign(document.createElement("small"), { textContent: "distance over GAN updates" }));
    const canvas = element(figure, "canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", drawn.map((each) => `${each.label}: ${each.points.at(-1)[1].toPrecision(3)}`).join("; "));
    const values = drawn.flatMap((each) => each.points.map((point) => point[1])).filter((value) => value > 0);
    const lines = drawn.map((each, place) => ({ points: each.points, colour: colour(inks[place]), width: place ? 1.4 : 2.2 }));
    const end = Math.max(...drawn.flatMap((each) => each.points.map((point) => point[0])));
    chart(canvas, { lines, low: Math.min(...values) / 1.1, high: Math.max(...values) * 1.1, end });
    const legend = element(figure, "p", "", "legend");
    drawn.forEach((each, place) => {
      const entry = element(legend, "span");
      element(entry, "i", "", "dot").style.background = colour(inks[place]);
      entry.append(`${each.label} ${each.points.at(-1)[1].toPrecision(3)}`);
    });
  }
  for (const suite of new Set(folder.standings.map((each) => each.suite))) {
    const block = element(box, "div");
    element(block, "figcaption", `Benchmark on ${suite}`);
    const table = element(block, "table");
    const head = element(element(table, "thead"), "tr");
    for (const words of ["scheduler", "distance", "diverged", "runs"]) element(head, "th", words).scope = "col";
    const body = element(table, "tbody");
    for (const each of folder.standings.filter((entry) => entry.suite === suite)) {
      const row = element(body, "tr");
      element(row, "th", each.scheduler).scope = "row";
      for (const words of [each.distance.toPrecision(3), each.diverged || "–", each.runs]) element(row, "td", String(words));
    }
  }
  if (folder.standings.length) element(box, "p", "Distances are geometric means over the runs that all schedulers have finished.", "note");
  if (!drawn.length && !folder.standings.length) element(box, "p", "Nothing to draw yet. This page looks again every few seconds.", "note");
}
