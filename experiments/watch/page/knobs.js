// The knobs of one side: they show what the scheduler does, and a hand that moves one takes the side over.
const limit = 30, decades = [-3, 2];
const calm = 600; // milliseconds after which a knob that a hand has moved shows again what the server says

const rate = {
  to: (value) => (100 * Math.log(value)) / Math.log(limit),
  from: (place) => limit ** (place / 100),
  words: (value) => `× ${value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)}`,
};
const weight = {
  to: (value) => (value > 0 ? Math.max(2, (100 * (Math.log10(value) - decades[0])) / (decades[1] - decades[0])) : 0),
  from: (place) => (place < 2 ? 0 : 10 ** (decades[0] + ((decades[1] - decades[0]) * place) / 100)),
  words: (value) => (value > 0 ? String(Number(value.toPrecision(2))) : "off"),
};
const words = { generator_lr_factor: "G's rate", discriminator_lr_factor: "D's rate", penalty_weight: "Penalty", ratio: "Updates of D and G", loss: "Loss" };
const scales = { generator_lr_factor: rate, discriminator_lr_factor: rate, penalty_weight: weight };

export class Knobs {
  // turned: called with a knob's name and value when a hand has moved it
  constructor(box, about, side, turned) {
    this.inputs = [...box.querySelectorAll("[data-knob]")];
    this.touched = new Map();
    this.pressed = null;
    for (const input of this.inputs) {
      const name = input.dataset.knob, knob = about[name];
      input.title = knob.meaning;
      input.setAttribute("aria-label", `${words[name]} of the ${side} GAN`);
      for (const choice of knob.choices || []) input.add(new Option(choice, choice));
      input.addEventListener("input", () => {
        this.touched.set(input, performance.now());
        this.word(input, this.value(input));
        turned(name, this.value(input));
      });
      input.addEventListener("pointerdown", () => { this.pressed = input; });
      for (const end of ["pointerup", "pointercancel", "blur"]) input.addEventListener(end, () => { this.pressed = null; });
    }
  }

  value(input) {
    const scale = scales[input.dataset.knob];
    return scale ? scale.from(Number(input.value)) : input.value;
  }

  word(input, value) {
    const scale = scales[input.dataset.knob];
    if (!scale) return;
    input.closest(".row").querySelector("output").textContent = scale.words(value);
    input.setAttribute("aria-valuetext", scale.words(value));
  }

  show({ controls, proposed, hand }) {
    for (const input of this.inputs) {
      const name = input.dataset.knob, scale = scales[name];
      if (input !== this.pressed && performance.now() - (this.touched.get(input) ?? -calm) >= calm) {
        if (!scale && ![...input.options].some((option) => option.value === controls[name])) input.add(new Option(controls[name]));
        input.value = scale ? Math.round(scale.to(controls[name])) : controls[name];
        this.word(input, controls[name]);
      }
      if (!scale) continue;
      const ghost = input.closest(".slide").querySelector(".ghost");
      ghost.hidden = !hand;
      const low = Number(input.min), share = (scale.to(proposed[name]) - low) / (Number(input.max) - low);
      ghost.style.left = `calc(8px + ${share} * (100% - 16px))`;
    }
  }
}
