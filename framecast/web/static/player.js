// Truth, forecast and error, playing in step. One clock moves all panels.
import { t } from "./words.js";

// matplotlib's "inferno" at nine places: no error is black.
const INFERNO = [[0, 0, 4], [27, 12, 65], [74, 12, 107], [120, 28, 109], [165, 44, 96], [207, 68, 70], [237, 105, 37], [251, 155, 6], [252, 255, 164]];
const ICONS = { play: "M4 2l11 7-11 7z", pause: "M3 2h4v14H3zM11 2h4v14h-4z" };
const [FASTEST, SLOWEST] = [0.08, 0.4]; // seconds of a frame on the screen

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

function inferno(share) {
  const at = Math.min(Math.max(share, 0), 1) * (INFERNO.length - 1);
  const low = Math.min(Math.floor(at), INFERNO.length - 2);
  return INFERNO[low].map((value, i) => value + (at - low) * (INFERNO[low + 1][i] - value));
}

export class Player {
  constructor({ panels, scrub, play, moment, onFrame }) {
    Object.assign(this, { panels, scrub, playButton: play, moment, onFrame });
    this.timer = null;
    this.told = null;
    scrub.addEventListener("input", () => { this.stop(); this.show(+scrub.value); });
    play.addEventListener("click", () => (this.timer ? this.stop() : this.start()));
    this.icon();
  }

  // told: the JSON of a forecast, frames included.
  load(told) {
    this.told = told;
    this.pixels = Object.fromEntries(Object.entries(told.frames).map(([name, text]) => [name, bytes(text)]));
    this.size = told.height * told.width * told.channels;
    this.count = told.past + told.horizon;
    this.scrub.max = this.count - 1;
    this.names = this.pixels.truth ? ["truth", "forecast", "error"] : ["forecast"];
    this.worst = this.pixels.truth ? this.largestError() : 1;
    this.build();
    this.show(told.past);
  }

  clear() {
    this.told = null;
    this.panels.replaceChildren();
    this.moment.textContent = "";
  }

  build() {
    this.panels.classList.toggle("one", this.names.length === 1);
    this.canvases = {};
    this.panels.replaceChildren(...this.names.map((name) => {
      const figure = document.createElement("figure"), caption = document.createElement("figcaption");
      const said = document.createElement("span"), small = document.createElement("small");
      said.textContent = t(name);
      small.textContent = name === "error" ? `0–${(this.worst / 255).toFixed(2)}` : "";
      caption.append(said, small);
      const canvas = document.createElement("canvas");
      canvas.width = this.told.width;
      canvas.height = this.told.height;
      canvas.setAttribute("role", "img");
      this.canvases[name] = { canvas, small };
      figure.append(caption, canvas);
      return figure;
    }));
  }

  largestError() {
    const { truth, forecast } = this.pixels;
    let worst = 1;
    for (let i = 0; i < truth.length; i++) worst = Math.max(worst, Math.abs(truth[i] - forecast[i]));
    return worst;
  }

  show(index) {
    if (!this.told) return;
    this.index = index;
    this.scrub.value = index;
    const lead = index - this.told.past + 1;
    const said = lead < 1 ? t("past_of", { n: index + 1, of: this.told.past }) : t("ahead", { n: lead, of: this.told.horizon });
    this.moment.textContent = said;
    this.scrub.setAttribute("aria-valuetext", said);
    for (const name of this.names) {
      const { canvas, small } = this.canvases[name];
      canvas.setAttribute("aria-label", `${t(name)}, ${said}`);
      if (name !== "error") small.textContent = lead < 1 ? t("given") : `+${lead}`;
      canvas.getContext("2d").putImageData(this.picture(name, index, lead), 0, 0);
    }
    this.onFrame(lead);
  }

  picture(name, index, lead) {
    const { height, width, channels, past } = this.told;
    const image = new ImageData(width, height), out = image.data;
    const known = lead < 1;
    const source = known ? this.pixels.past : this.pixels[name];
    const start = (known ? index : index - past) * this.size;
    for (let i = 0, o = 0; i < height * width; i++, o += 4) {
      out[o + 3] = 255;
      if (name === "error") {
        if (known) continue;
        let sum = 0;
        for (let c = 0; c < channels; c++) {
          const at = start + i * channels + c;
          sum += Math.abs(this.pixels.truth[at] - this.pixels.forecast[at]);
        }
        [out[o], out[o + 1], out[o + 2]] = inferno(sum / channels / this.worst);
      } else {
        for (let c = 0; c < 3; c++) out[o + c] = source[start + i * channels + (channels === 3 ? c : 0)];
      }
    }
    return image;
  }

  start() {
    if (!this.told) return;
    clearInterval(this.timer);
    const seconds = Math.min(Math.max(this.told.seconds_per_frame, FASTEST), SLOWEST);
    this.timer = setInterval(() => this.show((this.index + 1) % this.count), 1000 * seconds);
    this.icon();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.icon();
  }

  icon() {
    const name = this.timer ? "pause" : "play";
    this.playButton.innerHTML = `<svg viewBox="0 0 18 18" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
    this.playButton.setAttribute("aria-label", t(name));
    this.playButton.setAttribute("aria-pressed", String(Boolean(this.timer)));
  }

  retell() {
    this.icon();
    if (!this.told) return;
    const index = this.index;
    this.build();
    this.show(index);
  }
}
