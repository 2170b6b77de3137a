// Moving digits that the user places: the rule of data/moving_digits.py, in the browser.
import { t } from "./words.js";

const SIDE = 64;

export class Pad {
  constructor(place, { side, digits }) {
    this.place = place;
    this.digit = 3;
    this.glyphSide = side;
    this.glyphs = digits;
    this.placed = [
      { digit: 3, x: 4, y: 6, dx: 2.5, dy: 1.5 },
      { digit: 7, x: 30, y: 28, dx: -1.5, dy: 2 },
    ];
    this.build();
  }

  build() {
    const help = Object.assign(document.createElement("small"), { textContent: t("pad_help") });
    this.canvas = Object.assign(document.createElement("canvas"), { className: "pad", width: SIDE, height: SIDE });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", t("pad"));
    const row = Object.assign(document.createElement("div"), { className: "digits" });
    for (let digit = 0; digit < 10; digit++) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: digit });
      button.setAttribute("aria-label", t("digit", { n: digit }));
      button.setAttribute("aria-pressed", String(digit === this.digit));
      button.onclick = (event) => this.choose(digit, event.detail === 0);
      row.append(button);
    }
    this.list = Object.assign(document.createElement("ul"), { className: "placed" });
    this.place.replaceChildren(this.canvas, row, this.list, help);
    this.canvas.onpointerdown = (event) => this.press(event);
    this.tell();
  }

  // By keyboard, a chosen digit is also placed: its row has numbers to change.
  choose(digit, byKeyboard) {
    this.digit = digit;
    for (const [at, button] of [...this.place.querySelectorAll(".digits button")].entries())
      button.setAttribute("aria-pressed", String(at === digit));
    if (byKeyboard) {
      this.placed.push({ digit, x: 18, y: 18, dx: 2, dy: 1 });
      this.tell();
    }
  }

  press(event) {
    const at = (e) => {
      const box = this.canvas.getBoundingClientRect();
      return [((e.clientX - box.left) / box.width) * SIDE, ((e.clientY - box.top) / box.height) * SIDE];
    };
    const [x, y] = at(event), most = SIDE - this.glyphSide, half = this.glyphSide / 2;
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const one = { digit: this.digit, x: clamp(Math.round(x - half), 0, most), y: clamp(Math.round(y - half), 0, most), dx: 2, dy: 1 };
    this.placed.push(one);
    this.canvas.setPointerCapture(event.pointerId);
    this.canvas.onpointermove = (move) => {
      const [nowX, nowY] = at(move);
      if (Math.hypot(nowX - x, nowY - y) < 2) return;
      one.dx = clamp(Math.round((nowX - x) * 2) / 10, -6, 6);
      one.dy = clamp(Math.round((nowY - y) * 2) / 10, -6, 6);
      this.paint();
    };
    this.canvas.onpointerup = this.canvas.onpointercancel = () => {
      this.canvas.onpointermove = null;
      this.tell();
    };
    this.paint();
  }

  tell() {
    const names = document.createElement("li");
    names.className = "names";
    names.append("", ...["", "x", "y", "dx", "dy"].map((key) => Object.assign(document.createElement("span"), { textContent: key && t(key) })));
    const rows = this.placed.map((one, at) => {
      const row = document.createElement("li");
      row.append(Object.assign(document.createElement("strong"), { textContent: one.digit }));
      for (const [key, low, high, step] of [["x", 0, SIDE - this.glyphSide, 1], ["y", 0, SIDE - this.glyphSide, 1], ["dx", -6, 6, 0.1], ["dy", -6, 6, 0.1]]) {
        const input = Object.assign(document.createElement("input"), { type: "number", min: low, max: high, step, value: one[key] });
        input.setAttribute("aria-label", `${t("digit", { n: one.digit })}, ${t(key)}`);
        input.oninput = () => { if (input.validity.valid && input.value !== "") { one[key] = +input.value; this.paint(); } };
        row.append(input);
      }
      const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
      remove.setAttribute("aria-label", t("remove", { n: one.digit }));
      remove.onclick = () => { this.placed.splice(at, 1); this.tell(); this.place.querySelector("button").focus(); };
      row.append(remove);
      return row;
    });
    this.list.replaceChildren(...(rows.length ? [names, ...rows] : []));
    this.paint();
  }

  paint() {
    const context = this.canvas.getContext("2d"), image = context.createImageData(SIDE, SIDE);
    const frame = this.frame(this.placed);
    for (let i = 0; i < SIDE * SIDE; i++) image.data.set([frame[i], frame[i], frame[i], 255], 4 * i);
    context.putImageData(image, 0, 0);
    context.strokeStyle = "#f0ad4e";
    for (const { x, y, dx, dy } of this.placed) {
      const [cx, cy] = [x + this.glyphSide / 2, y + this.glyphSide / 2];
      context.beginPath();
      context.moveTo(cx, cy);
      context.lineTo(cx + 5 * dx, cy + 5 * dy);
      context.stroke();
      context.fillStyle = "#f0ad4e";
      context.fillRect(cx + 5 * dx - 1.5, cy + 5 * dy - 1.5, 3, 3);
    }
  }

  frame(digits) {
    const out = new Uint8Array(SIDE * SIDE);
    for (const { digit, x, y } of digits)
      for (let row = 0; row < this.glyphSide; row++)
        for (let column = 0; column < this.glyphSide; column++) {
          const at = (Math.floor(y) + row) * SIDE + Math.floor(x) + column;
          out[at] = Math.max(out[at], this.glyphs[digit][row][column]);
        }
    return out;
  }

  // An .npy file of the digits on their way; one that reaches a wall stops there and turns back.
  film(frames, every) {
    const most = SIDE - this.glyphSide, moving = this.placed.map((one) => ({ ...one }));
    const header = `{'descr': '|u1', 'fortran_order': False, 'shape': (${frames}, ${SIDE}, ${SIDE}), }`;
    const padded = header.padEnd(117) + "\n";
    const head = new Uint8Array([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, padded.length, 0, ...new TextEncoder().encode(padded)]);
    const parts = [head];
    for (let at = 0; at < frames; at++) {
      parts.push(this.frame(moving));
      for (let step = 0; step < every; step++) for (const one of moving) this.move(one, most);
    }
    return new File(parts, "drawn.npy");
  }

  move(one, most) {
    for (const [place, speed] of [["x", "dx"], ["y", "dy"]]) {
      one[place] += one[speed];
      if (one[place] <= 0 || one[place] >= most) one[speed] = -one[speed];
      one[place] = Math.min(Math.max(one[place], 0), most);
    }
  }
}
