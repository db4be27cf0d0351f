// Small charts as SVG in the page's colours. Everything is made as elements and text, never as HTML.
const charts = (() => {
  const names = document.querySelector("svg") ? document.querySelector("svg").namespaceURI : ""; // of SVG elements
  const height = 132, left = 34, right = 6, top = 6, bottom = 18;
  const gap = 18;
  let width = 280; // of a chart; what is whole is as wide as two

  const themed = (scheduler) => `var(--c${scheduler.light.slice(1)}, ${scheduler.light})`;
  const make = (parent, tag, attributes = {}, text = "") => {
    const element = document.createElementNS(names, tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") element.style.cssText = value;
      else element.setAttribute(name, value);
    }
    if (text) element.textContent = text;
    parent.append(element);
    return element;
  };
  const figure = (parent, title, aside, label, tall = height, kind = "") => {
    const box = document.createElement("figure");
    box.className = kind;
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    const small = document.createElement("small");
    small.textContent = aside && ` ${aside}`;
    caption.append(small);
    box.append(caption);
    parent.append(box);
    return make(box, "svg", { viewBox: `0 0 ${kind ? 2 * width + gap : width} ${tall}`, role: "img", "aria-label": label });
  };

  const log = (low, high) => (value) => {
    const share = Math.log(Math.max(value, 1e-12) / low) / Math.log(high / low);
    return Math.min(Math.max(share, -0.02), 1.04);
  };
  // 0 lies on the ground and the logarithm begins above it: a penalty that is off and one that is small are told apart.
  const fromZero = (low, high) => (value) => (value <= 0 ? 0 : 0.14 + 0.86 * Math.max(log(low, high)(value), -0.08));
  const nice = (low, high) => {
    const ticks = [];
    for (let power = -12; power < 3; power += 1) {
      for (const digit of [1, 2, 5]) {
        const value = Number(`${digit}e${power}`);
        if (value >= low && value <= high) ticks.push([value, String(value)]);
      }
    }
    return ticks.length > 5 ? ticks.filter(([value]) => /^[0.]*1/.test(String(value))) : ticks;
  };

  const path = (values, y, steps) => {
    const count = values.length - (steps ? 0 : 1);
    const x = (place) => (left + (width - left - right) * place / count).toFixed(1);
    const place = (value) => (top + (height - top - bottom) * (1 - y(value))).toFixed(1);
    if (!steps) return values.map((value, index) => `${index ? "L" : "M"}${x(index)} ${place(value)}`).join("");
    return values.map((value, index) => `${index ? "V" : `M${left} `}${place(value)}H${x(index + 1)}`).join("");
  };

  // A chart of series [{ values, scheduler, dashes, steps, wide }]; returns what moves its cursor.
  const lines = (parent, { title, aside, label, y, ticks, series }) => {
    const svg = figure(parent, title, aside, label);
    for (const [value, text] of ticks) {
      const at = top + (height - top - bottom) * (1 - y(value));
      make(svg, "path", { d: `M${left} ${at.toFixed(1)}H${width - right}`, class: "gridline" });
      make(svg, "text", { x: left - 5, y: at + 3.5, "text-anchor": "end" }, text);
    }
    for (const [share, text, anchor] of [[0, "start", "start"], [0.5, "half", "middle"], [1, "end", "end"]]) {
      make(svg, "text", { x: left + (width - left - right) * share, y: height - 4, "text-anchor": anchor }, text);
    }
    const cursor = make(svg, "path", { class: "now", d: `M0 ${top}V${height - bottom}` });
    for (const { values, scheduler, dashes, steps, wide } of series) {
      make(svg, "path", {
        d: path(values, y, steps), fill: "none", "stroke-width": wide ? 2.8 : 1.6, "stroke-linejoin": "round",
        "stroke-dasharray": dashes || "none", style: `stroke:${themed(scheduler)}`, "stroke-opacity": wide ? 0.75 : 1,
      });
    }
    return (share) => cursor.setAttribute("transform", `translate(${left + (width - left - right) * share} 0)`);
  };

  // Which name was chosen when: a strip of colours for each entry [{ codes, scheduler }], names written where they fit.
  const strips = (parent, { title, label, choices, entries }) => {
    const margin = 96, span = 2 * width + gap - right - margin;
    const svg = figure(parent, title, "", label, 22 * entries.length, "whole");
    entries.forEach(({ codes, scheduler }, row) => {
      const y = 22 * row + 2;
      make(svg, "path", { d: `M0 ${y + 8}H14`, "stroke-width": 3, style: `stroke:${themed(scheduler)}` });
      make(svg, "text", { x: 20, y: y + 12 }, scheduler.name.length > 13 ? `${scheduler.name.slice(0, 12)}…` : scheduler.name);
      for (let from = 0, to; from < codes.length; from = to) {
        for (to = from + 1; to < codes.length && codes[to] === codes[from];) to += 1;
        const [word, colour] = choices[codes[from]];
        const x = margin + span * from / codes.length;
        const wide = span * (to - from) / codes.length;
        const box = make(svg, "rect", { x, y, width: wide, height: 16, fill: colour });
        make(box, "title", {}, word);
        const light = [1, 3, 5].reduce((sum, at, part) => sum + [0.3, 0.59, 0.11][part] * parseInt(colour.slice(at, at + 2), 16), 0);
        if (wide > 8 + 6 * word.length) {
          make(svg, "text", { x: x + 5, y: y + 12, style: `fill:${light > 130 ? "#111" : "#fff"}` }, word);
        }
      }
    });
  };

  // Drawn for the room there is, so that letters keep their size on a phone.
  const fit = (room) => {
    if (room.clientWidth) width = Math.max((room.clientWidth - gap) / 2, 140);
  };

  return { fit, lines, strips, log, fromZero, nice, themed, make };
})();
