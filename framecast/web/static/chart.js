// A line chart in SVG that is drawn anew each time; text and lines get their colours from the style.
const SPACE = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 12, 28, 38];

function add(parent, name, attributes, text) {
  const el = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) el.setAttribute(key, value);
  if (text !== undefined) el.textContent = text;
  return parent.appendChild(el);
}

const short = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1000 || size < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3));
};

function steps(low, high, count) {
  const rough = (0.7 * (high - low)) / count || 1;
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * ten).find((s) => s >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

// series: [{name, kind, points: [[x, y], ...]}]; cursor: an x; pick: called with the nearest x.
export function draw(place, { series, label, xLabel, cursor = null, pick = null, zero = true }) {
  const points = series.flatMap((one) => one.points);
  const width = Math.max(place.clientWidth, 240), height = Math.round(Math.min(width * 0.55, 220));
  place.replaceChildren();
  place.classList.toggle("pick", Boolean(pick));
  if (!points.length) return;
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  let [y0, y1] = [zero ? Math.min(0, ...ys) : Math.min(...ys), Math.max(...ys)];
  if (y1 === y0) y1 = y0 + (y0 || 1) * 0.1;
  const atX = (x) => LEFT + ((x - x0) / (x1 - x0 || 1)) * (width - LEFT - RIGHT);
  const atY = (y) => height - BOTTOM - ((y - y0) / (y1 - y0)) * (height - TOP - BOTTOM);
  const svg = add(place, "svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  for (const y of steps(y0, y1, 3)) {
    add(svg, "line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: atY(y), y2: atY(y) });
    add(svg, "text", { x: LEFT - 8, y: atY(y) + 4, "text-anchor": "end" }, short(y));
  }
  const whole = steps(x0, x1, width < 400 ? 4 : 8).filter((x) => Number.isInteger(x));
  for (const x of whole) add(svg, "text", { x: atX(x), y: height - BOTTOM + 17, "text-anchor": "middle" }, x);
  add(svg, "text", { x: width - RIGHT, y: height - 2, "text-anchor": "end" }, xLabel);
  let legend = LEFT;
  for (const one of series) {
    add(svg, "polyline", { class: one.kind, points: one.points.map(([x, y]) => `${atX(x)},${atY(y)}`).join(" ") });
    if (one.points.length < 40)
      for (const [x, y] of one.points) add(svg, "circle", { class: one.kind, cx: atX(x), cy: atY(y), r: x === cursor ? 5 : 2.75 });
    if (one.name) legend += add(svg, "text", { class: one.kind, x: legend, y: 13 }, `— ${one.name}`).getComputedTextLength() + 18;
  }
  if (cursor !== null) add(svg, "line", { class: "cursor", x1: atX(cursor), x2: atX(cursor), y1: TOP, y2: height - BOTTOM });
  if (pick)
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      pick(xs.reduce((best, one) => (Math.abs(atX(one) - x) < Math.abs(atX(best) - x) ? one : best)));
    });
}
