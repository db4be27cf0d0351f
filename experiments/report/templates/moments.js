// Samples over time: two schedulers side by side, stepped through the moments that the benchmark kept.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("stage");
  if (!form || !data.tasks.length) return;
  const slider = document.getElementById("moment");
  const play = document.getElementById("play");
  const selects = [0, 1].map((side) => document.getElementById(`side${side}`));
  const sides = data.pair.length;
  const big = 480, small = 132;
  const night = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  // Moments as shares of the budget, of all tasks together; most benchmarks have the same ones everywhere.
  const sharesOf = (task) => task.updates.map((each) => each / task.updates[task.updates.length - 1]);
  const shares = [...new Set(data.tasks.flatMap(sharesOf))].sort((one, other) => one - other);
  const words = (share) => {
    if (share === 0) return "start";
    if (share === 1) return "end";
    for (const parts of [2, 4, 8, 16]) if (Number.isInteger(share * parts)) return `${share * parts}/${parts}`;
    return `${Math.round(100 * share)} %`;
  };
  // Which of a run's moments is shown at a share: the last one until then; -1 if only later ones were kept.
  const placeOf = (task, run, share) => {
    if (run.moments === 1) return share === 1 ? 0 : -1;
    return sharesOf(task).filter((each) => each <= share).length - 1;
  };

  const bytes = (text) => Int8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const cloud = (owner) => (owner.bytes = owner.bytes || bytes(owner.points));
  const dots = (context, points, size, radius) => {
    const half = size / 2, scale = half / data.steps;
    context.beginPath();
    for (let place = 0; place < points.length; place += 2) {
      if (points[place] === -128) continue;
      const x = half + scale * points[place], y = half - scale * points[place + 1];
      context.moveTo(x + radius, y);
      context.arc(x, y, radius, 0, 7);
    }
    context.fill();
  };
  const paint = (canvas, task, run, scheduler, share) => {
    const context = canvas.getContext("2d"), size = canvas.width;
    const place = run ? placeOf(task, run, share) : -1;
    const dark = night.matches && !printing;
    context.clearRect(0, 0, size, size);
    if (task.pixels) {
      if (place < 0 || !run.sheet.complete) return;
      const side = run.sheet.naturalHeight;
      context.imageSmoothingEnabled = false;
      const part = size === big ? side : (side + 1) / 2 - 1; // small pictures show a quarter of the images
      context.drawImage(run.sheet, place * side, 0, part, part, 0, 0, size, size);
      return;
    }
    const radius = size === big ? 3.1 : 1.5;
    context.globalAlpha = 0.4;
    context.fillStyle = dark ? "#8a8f96" : "#9a9a9a";
    dots(context, cloud(task.grey), size, radius);
    if (place < 0) return;
    const points = cloud(run), count = points.length / run.moments;
    context.globalAlpha = 0.8;
    context.fillStyle = dark ? scheduler.dark : scheduler.light;
    dots(context, points.subarray(place * count, (place + 1) * count), size, radius);
  };

  const number = (value) => value.toPrecision(3);
  const state = (task, run, share) => {
    if (!run) return ["not run here", ""];
    const place = placeOf(task, run, share);
    if (place < 0) return ["only the end was kept", ""];
    if (run.diverged && share === 1) return ["diverged", ""];
    if (!run.at.length) return ["", ""];
    return ["distance ", number(run.at[place])];
  };
  const element = (parent, tag, name = "", text = "") => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    made.textContent = text;
    parent.append(made);
    return made;
  };
  const canvasIn = (parent, task, size) => {
    const canvas = element(parent, "canvas", task.pixels ? "pixels" : "");
    canvas.width = canvas.height = size;
    return canvas;
  };

  // One task on the page: built for two schedulers, then shown at a moment.
  const build = (section) => {
    const task = data.tasks[Number(section.dataset.place)];
    const pictures = section.querySelector(".pictures"), room = section.querySelector(".charts");
    task.grey = { points: task.real };
    if (task.pixels) {
      for (const run of task.runs.filter(Boolean)) {
        run.sheet = new Image();
        run.sheet.addEventListener("load", () => show());
        run.sheet.src = run.points;
      }
    }
    let faces = [], film = [], cursors = [];
    const choose = (chosen) => {
      pictures.replaceChildren();
      room.replaceChildren();
      faces = chosen.map((index) => {
        const scheduler = data.schedulers[index], run = task.runs[index];
        const figure = element(pictures, "figure", "side");
        const caption = element(figure, "figcaption");
        const swatch = charts.make(caption, "svg", { class: "swatch", viewBox: "0 0 28 10", "aria-hidden": "true" });
        charts.make(swatch, "path", { d: "M1 5H27", "stroke-width": 3, style: `stroke:${charts.themed(scheduler)}` });
        caption.append(scheduler.name);
        const canvas = canvasIn(figure, task, big);
        canvas.setAttribute("role", "img");
        return { canvas, run, scheduler, line: element(figure, "p", "state") };
      });
      const strip = element(pictures, "div", "film");
      strip.setAttribute("aria-hidden", "true"); // the slider does the same, and can be reached by keyboard
      strip.style.setProperty("--moments", shares.length);
      film = shares.length < 2 ? [] : faces.flatMap(({ run, scheduler }) => shares.map((share, place) => {
        const canvas = canvasIn(strip, task, small);
        canvas.addEventListener("click", () => step(place));
        return { canvas, run, scheduler, share };
      }));
      if (film.length) for (const share of shares) element(strip, "span", "", words(share));
      for (const { canvas, run, scheduler, share } of film) paint(canvas, task, run, scheduler, share);
      cursors = draw(room, task, faces.filter(({ run }) => run && run.curve));
    };
    const show = () => {
      const share = shares[Number(slider.value)];
      for (const { canvas, run, scheduler, line } of faces) {
        paint(canvas, task, run, scheduler, share);
        const [text, value] = state(task, run, share);
        line.textContent = text;
        element(line, "b", "", value);
        canvas.setAttribute("aria-label", `${scheduler.name} on ${task.task}, ${words(share)}: ${text}${value}`);
      }
      for (const { canvas, run, scheduler, share: own } of film) {
        canvas.classList.toggle("now", own === share);
        if (task.pixels || repainting) paint(canvas, task, run, scheduler, own);
      }
      for (const move of cursors) move(share);
    };
    return { choose, show };
  };

  const draw = (room, task, faces) => {
    if (!faces.length) return [];
    charts.fit(room);
    const all = task.runs.filter((run) => run && run.curve).map((run) => run.curve.distance);
    const start = Math.max(...all.map((values) => values[0]));
    const low = Math.min(...all.flat()) / 1.15, high = Math.min(Math.max(...all.flat()) * 1.1, 1.8 * start);
    const series = (name, extra) => faces.map(({ run, scheduler }, place) => ({
      values: run.curve[name], scheduler, wide: faces.length > 1 && place === 0, ...extra,
    }));
    const end = faces.map(({ run, scheduler }) => `${scheduler.name} ends at ${number(run.curve.distance[run.curve.distance.length - 1])}`);
    const named = faces.map(({ scheduler }) => scheduler.name).join(" and ");
    const rates = [[1 / 30, "1/30"], [0.2, "1/5"], [1, "1"], [5, "5"], [30, "30"]];
    const moving = [
      charts.lines(room, {
        title: "Distance", aside: "lower is better", label: `Distance over the run: ${end.join(", ")}`,
        y: charts.log(low, high), ticks: charts.nice(low, high), series: series("distance"),
      }),
      charts.lines(room, {
        title: "Penalty weight", aside: "", label: `Penalty weight chosen by ${named}`, y: charts.fromZero(0.01, 150),
        ticks: [[0, "0"], [0.01, "0.01"], [0.1, "0.1"], [1, "1"], [10, "10"], [100, "100"]], series: series("weight", { steps: true }),
      }),
      charts.lines(room, {
        title: "G's learning rate", aside: "/ base", label: `Learning rate of the generator chosen by ${named}`,
        y: charts.log(1 / 36, 36), ticks: rates, series: series("generator", { steps: true }),
      }),
      charts.lines(room, {
        title: "D's learning rate", aside: "/ base", label: `Learning rate of the discriminator chosen by ${named}`,
        y: charts.log(1 / 36, 36), ticks: rates, series: series("discriminator", { steps: true }),
      }),
    ];
    for (const [kind, title] of [["ratio", "D:G updates"], ["loss", "Loss"]]) {
      charts.strips(room, {
        title, label: `${title} chosen by ${named}`, choices: data.choices[kind],
        entries: faces.map(({ run, scheduler }) => ({ codes: run.curve[kind], scheduler })),
      });
    }
    return moving;
  };

  let repainting = false;
  const tasks = [...document.querySelectorAll("section.task")].map(build);
  const show = () => {
    const share = shares[Number(slider.value)];
    const text = share === 0 ? "start of training" : share === 1 ? "end of training" : `${words(share)} of the budget`;
    document.getElementById("when").textContent = text;
    slider.setAttribute("aria-valuetext", text);
    for (const task of tasks) task.show();
  };
  const choose = () => {
    const chosen = selects.slice(0, sides).map((select) => Number(select.value));
    for (const task of tasks) task.choose(chosen);
    show();
  };
  const repaint = () => {
    repainting = true;
    show();
    repainting = false;
  };
  const step = (place) => {
    slider.value = String(place);
    show();
  };

  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    const last = shares.length - 1;
    if (Number(slider.value) === last) step(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      step(Number(slider.value) + 1);
      if (Number(slider.value) === last) stop();
    }, 900);
  });
  slider.addEventListener("input", () => {
    stop();
    show();
  });
  for (const select of selects) select.addEventListener("change", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.closest("details").addEventListener("toggle", choose); // charts are drawn for the room that there is
  night.addEventListener("change", repaint);
  let before = 0;
  addEventListener("beforeprint", () => {
    stop();
    before = Number(slider.value);
    printing = true;
    slider.value = slider.max;
    repaint();
  });
  addEventListener("afterprint", () => {
    printing = false;
    slider.value = String(before);
    repaint();
  });

  slider.max = slider.value = String(shares.length - 1);
  selects[1].closest("label").hidden = sides < 2;
  form.querySelector(".steps").hidden = shares.length < 2;
  form.hidden = false;
  choose();
})();
