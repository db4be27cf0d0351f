// The setting in the address, and drawings packed into it.
const numbers = ["seed", "updates", "decisions"];

export const units = 127; // places from -1 to 1 are whole numbers from -127 to 127

export function pack(points) {
  const bytes = points.flatMap(([x, y]) => [Math.round(x * units) & 255, Math.round(y * units) & 255]);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export function unpack(text) {
  const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const whole = Array.from(raw, (letter) => (letter.charCodeAt(0) << 24) >> 24);
  return Array.from({ length: whole.length >> 1 }, (_, place) => [whole[2 * place] / units, whole[2 * place + 1] / units]);
}

// What the fragment says, or null if it says nothing; `speed` is the page's and not the setting's.
export function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.size) return null;
  const setting = Object.fromEntries(given);
  const speed = "speed" in setting ? Number(setting.speed) : null;
  delete setting.speed;
  for (const name of numbers) if (name in setting) setting[name] = Number(setting[name]);
  return { setting, speed };
}

export function write(setting, speed) {
  const told = new URLSearchParams({ ...setting, speed });
  if (!setting.drawing) told.delete("drawing");
  history.replaceState(null, "", `#${told}`);
}
