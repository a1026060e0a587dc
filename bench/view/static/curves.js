// Curves as drawings with their numbers as tables.
import { Group, Message, groupOf, html, percent, useAnswer } from "./parts.js";

const [W, H, LEFT, RIGHT, TOP, BOTTOM] = [640, 340, 52, 14, 14, 44];

function ticks(low, high) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2].find((s) => (high - low) / s <= 6) || 0.25;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, n) => (first + n) * step);
}

function Chart({ curve }) {
  const points = curve.series.flatMap((one) => one.points);
  const xs = [...new Set(points.map((p) => p[0]))].sort((a, b) => a - b);
  // Means are always in sight; the wide band of a few seeds may leave the drawing rather than flatten it.
  const means = points.map((p) => p[1]).filter((v) => v !== null);
  const room = Math.max(0.03, (Math.max(...means) - Math.min(...means)) * 0.6);
  const ends = points.flatMap((p) => [p[1], p[2], p[3]]).filter((v) => v !== null);
  const low = Math.max(0, Math.min(...ends) - 0.01, Math.min(...means) - room);
  const high = Math.min(1, Math.max(...ends) + 0.01, Math.max(...means) + room);
  const within = (v) => Math.min(high, Math.max(low, v));
  const log = xs[0] > 0 && xs[xs.length - 1] / xs[0] >= 16;
  const scale = (v) => (log ? Math.log2(v) : v);
  const [from, to] = [scale(xs[0]), scale(xs[xs.length - 1])];
  const x = (v) => LEFT + ((scale(v) - from) / (to - from || 1)) * (W - LEFT - RIGHT);
  const y = (v) => TOP + ((high - v) / (high - low || 1)) * (H - TOP - BOTTOM);
  const every = Math.ceil(xs.length / 12);
  const line = (one) => one.points.map((p, n) => `${n ? "L" : "M"}${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join("");
  const band = (one) => {
    const there = one.points.filter((p) => p[2] !== null);
    if (there.length < 2) return null;
    const edge = (side, list) => list.map((p) => `${x(p[0]).toFixed(1)},${y(within(p[side])).toFixed(1)}`).join(" ");
    return `${edge(3, there)} ${edge(2, [...there].reverse())}`;
  };
  return html`<figure>
    <figcaption><b>${curve.title}</b></figcaption>
    <svg viewBox=${`0 0 ${W} ${H}`} role="img" aria-label=${`${curve.title}; the numbers are in the table below`}>
      ${ticks(low, high).map((v) => html`<g key=${v}><line class="grid" x1=${LEFT} x2=${W - RIGHT} y1=${y(v)} y2=${y(v)} />
        <text x=${LEFT - 6} y=${y(v) + 4} text-anchor="end">${percent(v, 0)}</text></g>`)}
      ${xs.filter((_, n) => n % every === 0).map((v) => html`<text key=${v} x=${x(v)} y=${H - BOTTOM + 18} text-anchor="middle">${v}</text>`)}
      <text x=${(LEFT + W - RIGHT) / 2} y=${H - 6} text-anchor="middle">${curve.x}</text>
      <text x="8" y=${H - BOTTOM + 18}>%</text>
      ${curve.series.map((one, n) => band(one) && html`<polygon key=${one.method} class=${`band c${n % 8}`} points=${band(one)} />`)}
      ${curve.series.map((one, n) => html`<g key=${one.method}>
        <path class=${`line c${n % 8} d${Math.floor(n / 8) % 3}`} d=${line(one)} />
        ${one.points.map((p) => html`<circle key=${p[0]} class=${`dot c${n % 8}`} cx=${x(p[0])} cy=${y(p[1])} r="3" />`)}</g>`)}
    </svg>
    <ul class="legend">${curve.series.map((one, n) => html`<li key=${one.method}>
      <svg viewBox="0 0 28 10" aria-hidden="true"><path class=${`line c${n % 8} d${Math.floor(n / 8) % 3}`} d="M1,5L27,5" /></svg>
      ${one.method}</li>`)}</ul>
    <details><summary>Numbers</summary><div class="scroll" tabindex="0" role="region" aria-label=${`Numbers of ${curve.title}`}>
      <table><thead><tr><th scope="col" class="k">method</th>${xs.map((v) => html`<th key=${v} scope="col" class="n">${curve.x} ${v}</th>`)}</tr></thead>
      <tbody>${curve.series.map((one) => {
        const at = new Map(one.points.map((p) => [p[0], p]));
        return html`<tr key=${one.method}><th scope="row" class="k">${one.method}</th>${xs.map((v) => {
          const p = at.get(v);
          return html`<td key=${v} class="n">${p ? percent(p[1]) : "–"}
            ${p && p[2] !== null && html`<span class="bounds">[${percent(p[2])}, ${percent(p[3])}]</span>`}</td>`;
        })}</tr>`;
      })}</tbody></table></div></details>
  </figure>`;
}

export function Curves({ state, rows, params, change }) {
  const group = groupOf(rows, params);
  const found = useAnswer("curves", { group }, `${state.number}/${state.waiting === 0}`);
  return html`<form class="filters" aria-label="What is drawn" onSubmit=${(event) => event.preventDefault()}>
      <${Group} rows=${rows} group=${group} onChange=${(g) => change({ g: JSON.stringify(g) })} /></form>
    <${Message} text=${found.error} />
    ${found.value && !found.value.length && html`<p class="soft">There is one session and one condition here: nothing to draw a
      curve of. The leaderboard has its numbers.</p>`}
    <div class="figures" aria-busy=${found.waiting}>${(found.value || []).map((curve) => html`<${Chart} key=${curve.title} curve=${curve} />`)}</div>
    ${found.value && found.value.length > 0 && html`<p class="caption">Accuracy in per cent, mean over seeds. Bands are 95 %
      intervals by the report's code, cut where they leave the drawing; the tables have them whole.</p>`}`;
}
