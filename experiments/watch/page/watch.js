// The live page: sends commands, and shows the frames that come back.
import * as address from "./address.js";
import { chart, count } from "./charts.js";
import { showFolder } from "./folder.js";
import { Knobs } from "./knobs.js";
import { Sketch } from "./sketch.js";
import { Stage, colour } from "./stage.js";

const names = ["left", "right"];
const find = (id) => document.getElementById(id);
const picks = ["family", "seed", "trouble", "updates", "decisions"];
const page = { about: null, match: null, state: null, history: [], sides: [], folder: null, wanted: null, loading: 0 };

async function ask(name) {
  const answer = await (await fetch(name)).json();
  if (!answer.ok) throw new Error(answer.error);
  return answer.told;
}

// Sends a command; returns the words of what is wrong, or "".
async function send(command) {
  try {
    const answer = await fetch("command", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(command) });
    return answer.headers.get("Content-Type").startsWith("application/json") ? (await answer.json()).error || "" : await answer.text();
  } catch {
    return "metagan-rl watch has ended; start it again";
  }
}

async function act(command) {
  say(await send(command));
}

function say(words) {
  find("message").textContent = words;
  find("message").hidden = !words;
}

// ---- the setting

function options(select, entries) {
  select.replaceChildren();
  const groups = new Map();
  for (const [value, words, title, group] of entries) {
    const option = Object.assign(new Option(words, value), { title: title || "" });
    if (!group) select.add(option);
    else {
      if (!groups.has(group)) {
        groups.set(group, Object.assign(document.createElement("optgroup"), { label: group }));
        select.append(groups.get(group));
      }
      groups.get(group).append(option);
    }
  }
}

function picked() {
  const setting = { ...page.wanted };
  for (const name of picks) setting[name] = typeof setting[name] === "number" ? Number(find(name).value) : find(name).value;
  page.sides.forEach((side, place) => { setting[names[place]] = side.scheduler.value; });
  return setting;
}

async function load(setting) {
  const { running } = page.state;
  page.wanted = setting;
  page.loading += 1;
  showSetting(setting);
  const wrong = await send({ do: "new", setting });
  page.loading -= 1;
  say(wrong);
  if (wrong) {
    page.wanted = page.match.setting;
    showSetting(page.wanted);
  } else if (running) await act({ do: "start" });
  return wrong;
}

// What somebody is typing stays.
function showSetting(setting) {
  const typing = document.activeElement.type === "number" ? document.activeElement : null;
  for (const name of picks) if (find(name) !== typing) find(name).value = setting[name];
  page.sides.forEach((side, place) => {
    side.scheduler.value = setting[names[place]];
    side.scheduler.title = side.scheduler.selectedOptions[0]?.title || "";
  });
}

// ---- the two sides

const order = ["this folder", "learned", "fixed", "reactive", "searching", "own"];

function offer(select) {
  const entries = page.about.schedulers.map((each) => [each.name, each.name, each.about, each.kind]);
  options(select, entries.sort((a, b) => order.indexOf(a[3]) - order.indexOf(b[3])));
}

function makeSide(article, place) {
  article.append(find("side").content.cloneNode(true));
  const get = (selector) => article.querySelector(selector);
  const other = names[1 - place];
  const side = {
    article, scheduler: get(".scheduler"), distance: get(".distance"), badge: get(".badge"), outside: get(".outside"),
    take: get(".take"), branch: get(".branch"), canvas: get(".stage canvas"), stage: new Stage(get(".stage canvas"), names[place]),
  };
  let waiting = null, values = {};
  const turn = (name, value) => {
    values[name] = value;
    waiting ??= setTimeout(() => {
      act({ do: "take", side: place, values });
      waiting = null;
      values = {};
    }, 40);
  };
  side.knobs = new Knobs(article, page.about.knobs, names[place], turn);
  offer(side.scheduler);
  side.scheduler.setAttribute("aria-label", `Scheduler of the ${names[place]} GAN`);
  side.scheduler.addEventListener("change", () => load(picked()));
  side.take.addEventListener("click", () => act(page.state.sides[place].hand ? { do: "give", side: place } : { do: "take", side: place }));
  side.branch.textContent = place ? "← Branch" : "Branch →";
  side.branch.title = `Let the ${other} GAN go on from a copy of this one, under its own scheduler`;
  side.branch.setAttribute("aria-label", `Branch: ${side.branch.title}`);
  side.branch.addEventListener("click", () => act({ do: "branch", side: place }));
  get(".code").title = "The settings in force as PyTorch code";
  get(".code").addEventListener("click", () => showCode(place));
  return side;
}

function showSide(side, place, picture) {
  const state = page.state.sides[place], distance = page.history.at(-1)[1 + place][0];
  side.article.classList.toggle("held", state.hand);
  side.distance.textContent = state.diverged ? "–" : distance.toPrecision(3);
  side.badge.hidden = !(state.hand || state.diverged);
  side.badge.textContent = state.diverged ? "diverged" : `your hand · ▴ what ${state.scheduler} would do`;
  side.outside.hidden = picture.outside < 0.02;
  side.outside.textContent = `${Math.round(100 * picture.outside)} % outside`;
  side.take.textContent = state.hand ? "Give back" : "Take over";
  side.take.setAttribute("aria-pressed", String(state.hand));
  side.take.title = state.hand ? `Let ${state.scheduler} decide again` : `Play yourself against ${page.state.sides[1 - place].scheduler}`;
  side.branch.disabled = page.state.finished;
  side.knobs.show(state);
  side.stage.show(picture);
  side.canvas.setAttribute("aria-label", `${names[place]} GAN: generated points, real points and D's output; distance ${distance.toPrecision(3)}`);
}

async function showCode(place) {
  try {
    find("code-text").textContent = await ask(`code?side=${place}`);
    find("code-copy").textContent = "Copy";
    find("code").showModal();
  } catch (error) {
    say(error.message);
  }
}

async function copyCode() {
  const text = find("code-text");
  try {
    await navigator.clipboard.writeText(text.textContent);
    find("code-copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text);
    find("code-copy").textContent = "Selected: press Ctrl-C";
  }
}

// ---- both together

const who = (place) => (page.state.sides[place].hand ? "you" : page.state.sides[place].scheduler);

function verdict() {
  const box = find("verdict"), last = page.history.at(-1), { state } = page;
  box.replaceChildren();
  const better = last[1][0] <= last[2][0] ? 0 : 1, ratio = last[2 - better][0] / last[1 + better][0];
  if (!last[0]) return box.append("Press Start: both begin from the same weights.");
  if (ratio < 1.03) return box.append(state.finished ? "A draw." : "Neck and neck.");
  const name = document.createElement("b");
  name.className = better ? "r" : "l";
  const same = who(0) === who(1);
  name.textContent = same ? `${names[better]} ${who(better)}` : who(better);
  const you = who(better) === "you";
  const closer = ratio < 1.995 ? `${Math.round(100 * (1 - 1 / ratio))} % closer` : `${ratio.toFixed(1)} times closer`;
  box.append(name, state.finished ? ` ${you ? "win" : "wins"}: ${closer}.` : ` ${you ? "are" : "is"} ${closer}.`);
  return box;
}

function showCharts() {
  const { history, match } = page;
  const series = (at) => names.map((name, place) => ({ points: history.map((entry) => [entry[0], entry[1 + place][at]]), held: history.map((entry) => entry[1 + place].at(-1)), colour: colour(name), width: place ? 1.8 : 2.2 }));
  const seen = history.flatMap((entry) => [entry[1][0], entry[2][0]]);
  const low = Math.min(match.floor, ...seen) / 1.5, high = Math.max(match.start, ...seen.slice(0, 2)) * 1.3;
  const marks = [{ y: match.floor, label: "real against real" }];
  chart(find("quality"), { lines: series(0), low, high, end: match.updates, marks });
  const labels = [[1 / 30, "1/30"], [1, "1"], [30, "30"]];
  const rates = { low: 1 / 36, high: 36, end: match.updates, labels };
  chart(find("generator"), { lines: series(1).map((line) => ({ ...line, steps: true })), ...rates });
  chart(find("discriminator"), { lines: series(2).map((line) => ({ ...line, steps: true })), ...rates });
}

function showFrame(frame) {
  const before = page.state;
  page.state = frame.state;
  page.history.length = frame.from;
  page.history.push(...frame.history);
  const { state, match } = page;
  page.sides.forEach((side, place) => showSide(side, place, frame.picture[place]));
  const start = find("start");
  start.textContent = state.running ? "Pause" : state.finished ? "Again" : state.updates ? "Go on" : "Start";
  find("speed").value = state.speed;
  find("done").value = state.updates / match.updates;
  const decisions = match.updates / match.interval, decision = Math.min(Math.floor(state.updates / match.interval) + 1, decisions);
  find("when").textContent = `Update ${count(state.updates)} of ${count(match.updates)} · decision ${decision} of ${decisions}`;
  find("when").title = `Trained by the ${match.engine} engine`;
  document.body.dataset.state = state.running ? "running" : state.finished ? "finished" : "paused";
  document.body.dataset.updates = state.updates;
  verdict();
  showCharts();
  if (state.error) say(state.error);
  if (before && before.running !== state.running) find("status").textContent = state.running ? "Training" : `${state.finished ? "Finished" : "Paused"}. ${find("verdict").textContent}`;
  address.write(match.setting, state.speed);
  moving();
}

let animating = false;
function moving() {
  if (animating) return;
  animating = true;
  const next = (now) => {
    const more = page.sides.map((side) => side.stage.draw(now)).some(Boolean);
    if (more) requestAnimationFrame(next);
    else animating = false;
  };
  requestAnimationFrame(next);
}

function showMatch(match) {
  page.match = match;
  page.history = [];
  if (!page.loading && JSON.stringify(page.wanted) !== JSON.stringify(match.setting)) {
    page.wanted = match.setting; // from another tab, or the first
    showSetting(match.setting);
  }
  page.sides.forEach((side) => side.stage.begin(match.real, match.grid));
}

function listen() {
  const stream = new EventSource("stream");
  stream.addEventListener("match", (event) => showMatch(JSON.parse(event.data)));
  stream.addEventListener("frame", (event) => {
    if (find("message").textContent.startsWith("The connection")) say("");
    showFrame(JSON.parse(event.data));
  });
  stream.addEventListener("error", () => say("The connection is lost. If metagan-rl watch has ended, start it again."));
}

async function lookIntoFolder() {
  try {
    page.folder = await ask("folder");
    showFolder(find("folder"), page.folder);
    const known = page.about.schedulers.map((each) => each.name);
    const fresh = page.folder.schedulers.filter((each) => !known.includes(each.name)); // a run has written its policy
    if (!fresh.length) return;
    page.about.schedulers.push(...fresh);
    for (const { scheduler } of page.sides) {
      const { value } = scheduler;
      offer(scheduler);
      scheduler.value = value;
    }
  } catch (error) {
    say(error.message);
  }
}

function wire() {
  const { about } = page;
  options(find("family"), [...about.families.map((each) => [each.name, each.name, each.about]), [about.drawing, "your drawing", ""]]);
  options(find("trouble"), Object.entries(about.troubles));
  for (const name of ["updates", "decisions"]) options(find(name), about[name].map((each) => [each, count(each)]));
  options(find("speed"), about.speeds.map((each) => [each, each ? `${each} frames/s` : "full"]));
  page.sides = [...document.querySelectorAll(".side")].map(makeSide);
  const sketch = new Sketch((drawing) => load({ ...picked(), family: about.drawing, drawing }));
  for (const name of picks)
    find(name).addEventListener("change", () => {
      if (!find(name).value) return (find(name).value = page.match.setting[name]); // an emptied seed is no seed
      if (find(name).value !== about.drawing || page.match.setting.drawing) return load(picked());
      find(name).value = page.match.setting.family;
      return sketch.open("");
    });
  find("draw").addEventListener("click", () => sketch.open(page.match.setting.drawing));
  find("dice").addEventListener("click", () => load({ ...picked(), seed: Math.floor(Math.random() * 10000) }));
  find("setting").addEventListener("submit", (event) => event.preventDefault());
  find("speed").addEventListener("change", () => act({ do: "speed", value: Number(find("speed").value) }));
  find("start").addEventListener("click", () => act({ do: page.state.running ? "pause" : "start" }));
  find("code-copy").addEventListener("click", copyCode);
  find("code-close").addEventListener("click", () => find("code").close());
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target.closest("button, input, select, dialog, pre")) return;
    event.preventDefault();
    find("start").click();
  });
  addEventListener("resize", () => page.match && (showCharts(), showFolder(find("folder"), page.folder)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    page.sides.forEach((side) => side.stage.recolour());
    if (page.match) (showCharts(), moving());
  });
}

// The address says what to show. A page that is loaded again finds its own run, and does not begin a new one.
async function begin() {
  page.about = await ask("about");
  wire();
  const given = address.read();
  if (given) {
    const asked = Object.keys(given.setting).length > 0; // or the address has no more than a speed
    const wrong = asked && (await send({ do: "new", setting: given.setting, keep: true }));
    if (wrong) say(`The address could not be followed: ${wrong}`);
    if (page.about.speeds.includes(given.speed)) await send({ do: "speed", value: given.speed });
  }
  listen();
  if (page.about.folder) {
    await lookIntoFolder();
    setInterval(lookIntoFolder, 5000);
  }
}

begin().catch((error) => say(error.message));
