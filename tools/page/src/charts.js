// Charts that answer questions about the takes on the screen. Filters of the board hold here too.

import * as Plot from "@observablehq/plot";
import { Component, createRef, html } from "./html.js";
import { percent, quantile, seconds, usd } from "./words.js";
import { spent } from "./model.js";

const AXIS = { fontSize: "12px", background: "none", color: "var(--ink)", fontFamily: "inherit" };
const colour = (status) => `var(--${status})`;

export function Charts({ page, visible }) {
  const shots = page.model.shots.filter((shot) => visible.has(shot.key));
  const takes = shots.flatMap((shot) => shot.takes).filter((take) => take.n != null);
  const facts = factsOf(page, shots, takes);
  return html`
    <div class="charts">
      <ul class="numbers">
        ${facts.map(([name, value, why]) => html`<li title=${why}><b>${value}</b><span>${name}</span></li>`)}
      </ul>
      <${Chart} title="How long does a take work, and wait?" note="Half of the takes are faster than the dot, 95 of 100 faster than the end of the line. Waiting includes the time until our next poll." rows=${latencies(takes)} draw=${drawLatencies} table=${latencyTable} />
      <${Chart} title="When did takes come?" rows=${arrivals(takes)} draw=${drawArrivals} table=${arrivalTable} />
      <${Chart} title="What was spent, beside the limit?" note="Charged less refunded where the bill is known, else as quoted." rows=${spending(takes)} draw=${(rows, width) => drawSpending(rows, width, page.live?.limit_usd ?? page.model.data.max_usd)} table=${spendingTable} />
      <${Chart} title="Where do takes fail, or get flagged?" rows=${rates(takes)} draw=${drawRates} table=${rateTable} />
      <${Chart} title="What does an approved second take?" note="Takes bought and dollars spent in a storyboard for each second of approved clips in it." rows=${efforts(page, shots)} draw=${drawEfforts} table=${effortTable} />
    </div>`;
}

function factsOf(page, shots, takes) {
  const bought = takes.filter((take) => take.attempts > 0), sum = bought.reduce((all, take) => all + spent(take), 0);
  const decided = (take) => page.decisions.of(take).decision;
  const approved = shots.filter((shot) => shot.takes.some((take) => decided(take) === "approved"));
  const first = approved.filter((shot) => decided(shot.takes[0]) === "approved").length;
  const approvedSeconds = takes.filter((take) => decided(take) === "approved").reduce((all, take) => all + (take.duration_s || 0), 0);
  return [
    ["takes bought", bought.length.toLocaleString("en-US"), "paid submissions that the tables know"],
    ["spent", usd(sum) || "$0", "charged less refunded where the bill is known, else as quoted"],
    ["shots approved", `${approved.length} of ${shots.length}`, "shots with an approved take"],
    ["first-try rate", approved.length ? percent(first / approved.length) : "–", "approved shots whose very first take is the approved one"],
    ["dollars an approved second", approvedSeconds ? usd(sum / approvedSeconds) : "–", "all that was spent, by seconds of approved clips"],
    ["takes an approved second", approvedSeconds ? (bought.length / approvedSeconds).toFixed(2) : "–", "all takes bought, by seconds of approved clips"],
  ];
}

class Chart extends Component {
  box = createRef();

  componentDidMount() {
    this.seen = new ResizeObserver(() => this.draw());
    this.seen.observe(this.box.current);
    this.draw();
  }

  componentDidUpdate() {
    this.width = 0;
    this.draw();
  }

  componentWillUnmount() {
    this.seen.disconnect();
  }

  draw() {
    const width = Math.floor(this.box.current.clientWidth), { rows, draw, title } = this.props;
    if (!rows.length || width === this.width || width < 40) return;
    this.width = width;
    const plot = draw(rows, width);
    for (const part of plot.querySelectorAll("[aria-label], [aria-description]")) {
      part.removeAttribute("aria-label");
      part.removeAttribute("aria-description");
    }
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${title} The same numbers are in the table below.`);
    this.box.current.replaceChildren(plot);
  }

  render({ title, note, rows, table }) {
    const [head, ...body] = rows.length ? table(rows) : [[]];
    return html`
      <section class="chart">
        <h2>${title}</h2>
        ${note && html`<p class="note">${note}</p>`}
        <div class="plot" ref=${this.box}></div>
        ${rows.length
          ? html`<details><summary>as a table</summary><div class="scroll" tabindex="0" role="region" aria-label=${title}><table>
              <thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead>
              <tbody>${body.map((row) => html`<tr>${row.map((cell, at) => (at ? html`<td>${cell}</td>` : html`<th scope="row">${cell}</th>`))}</tr>`)}</tbody>
            </table></div></details>`
          : html`<p class="empty">Nothing to show yet.</p>`}
      </section>`;
  }
}

function grouped(values, key) {
  const groups = new Map();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) || []), value]);
  return groups;
}

// Latency by model and duration.

function latencies(takes) {
  const done = takes.filter((take) => take.status === "completed");
  const name = (take) => [take.version.model.split("/").pop(), take.version.inputs.duration || (take.version.inputs.num_frames && `${take.version.inputs.num_frames} frames`)].filter(Boolean).join(" ");
  const rows = [];
  for (const [group, some] of grouped(done, name)) {
    for (const [what, field] of [["works", "inference_ms"], ["waits", "queue_ms"]]) {
      const values = some.map((take) => take[field]).filter((value) => value != null).sort((a, b) => a - b);
      if (values.length) rows.push({ group, what, p50: quantile(values, 0.5) / 1000, p95: quantile(values, 0.95) / 1000, takes: values.length });
    }
  }
  return rows;
}

const drawLatencies = (rows, width) => Plot.plot({
  width, height: 56 + 48 * new Set(rows.map((row) => row.group)).size, marginLeft: 64, marginRight: 16, marginTop: 8, style: AXIS,
  fy: { label: null, padding: 0.2, axis: null }, y: { label: null, domain: ["works", "waits"] },
  x: { label: "seconds", grid: true, zero: true, nice: true },
  marks: [
    Plot.ruleY(rows, { fy: "group", y: "what", x1: "p50", x2: "p95", stroke: "var(--accent)", strokeWidth: 3, strokeOpacity: 0.5 }),
    Plot.dot(rows, { fy: "group", y: "what", x: "p50", fill: "var(--accent)", r: 5 }),
    Plot.tickX(rows, { fy: "group", y: "what", x: "p95", stroke: "var(--accent)", strokeWidth: 2, inset: 4 }),
    Plot.text(new Set(rows.map((row) => row.group)), { fy: (each) => each, text: (each) => each, frameAnchor: "top-right", fontWeight: 600, dy: -4 }),
  ],
});

const latencyTable = (rows) => [["model and duration", "", "takes", "p50", "p95"],
  ...rows.map((row) => [row.group, row.what, row.takes, seconds(row.p50), seconds(row.p95)])];

// Moments: of the day, or where a run is so short that its ticks would be parts of a minute, seconds since it began.

const SHORT_MS = 180_000;

function timeAxis(rows) {
  const first = Math.min(...rows.map((row) => row.at)), last = Math.max(...rows.map((row) => row.at));
  if (last - first >= SHORT_MS) return { x: "at", scale: { type: "utc", label: "UTC" } };
  const began = new Date(first).toISOString(), length = Math.max((last - first) / 1000, 1);
  return {
    x: (row) => (row.at - first) / 1000,
    scale: { type: "linear", label: `seconds since ${began.slice(0, 10)} ${began.slice(11, 19)} UTC`, domain: [0, length], ticks: 6 },
  };
}

// Takes over time.

function arrivals(takes) {
  const moments = takes.filter((take) => take.completed_at || (take.status === "failed" && take.submitted_at))
    .map((take) => ({ at: new Date(take.completed_at || take.submitted_at), status: take.status === "completed" ? "completed" : "failed" }))
    .sort((a, b) => a.at - b.at);
  const counts = {};
  const rows = moments.map(({ at, status }) => ({ at, status, number: (counts[status] = (counts[status] || 0) + 1) }));
  const end = moments.at(-1)?.at, begin = moments[0]?.at;
  for (const status of Object.keys(counts)) {
    rows.unshift({ at: begin, status, number: 0 });
    rows.push({ at: end, status, number: counts[status] });
  }
  return rows.length > 1 ? rows : [];
}

const drawArrivals = (rows, width) => {
  const { x, scale } = timeAxis(rows);
  return Plot.plot({
    width, height: 232, marginLeft: 48, marginRight: 80, marginBottom: 40, style: AXIS,
    x: scale, y: { label: "takes", grid: true, zero: true },
    marks: [
      ...["completed", "failed"].map((status) => Plot.line(rows.filter((row) => row.status === status), { x, y: "number", stroke: colour(status), strokeWidth: 2, curve: "step-after" })),
      Plot.text(lastOf(rows, "status"), { x, y: "number", text: "status", textAnchor: "start", dx: 6 }),
    ],
  });
};

const lastOf = (rows, name) => [...grouped(rows, (row) => row[name]).values()].map((some) => some.at(-1));

function arrivalTable(rows) {
  const first = Math.min(...rows.map((row) => row.at)), last = Math.max(...rows.map((row) => row.at)), parts = 12;
  const ends = Array.from({ length: parts }, (_, index) => first + ((last - first) * (index + 1)) / parts);
  const by = (status, end) => rows.filter((row) => row.status === status && row.at <= end).at(-1)?.number ?? 0;
  return [["until (UTC)", "completed", "failed"], ...ends.map((end) => [new Date(end).toISOString().slice(0, 19).replace("T", " "), by("completed", end), by("failed", end)])];
}

// Spending.

function spending(takes) {
  let sum = 0;
  const paid = takes.filter((take) => take.submitted_at && spent(take)).map((take) => [new Date(take.submitted_at), spent(take)]).sort((a, b) => a[0] - b[0]);
  const rows = paid.map(([at, amount]) => ({ at, sum: (sum += amount) }));
  return rows.length ? [{ at: rows[0].at, sum: 0 }, ...rows] : [];
}

const drawSpending = (rows, width, limit) => {
  const { x, scale } = timeAxis(rows);
  return Plot.plot({
    width, height: 232, marginLeft: 56, marginRight: 16, marginBottom: 40, style: AXIS,
    x: scale, y: { label: "US dollars", grid: true, zero: true, domain: limit ? [0, Math.max(limit, rows.at(-1).sum) * 1.05] : undefined },
    marks: [
      Plot.areaY(rows, { x, y1: 0, y2: "sum", fill: "var(--accent)", fillOpacity: 0.15, curve: "step-after" }),
      Plot.line(rows, { x, y: "sum", stroke: "var(--accent)", strokeWidth: 2, curve: "step-after" }),
      ...(limit ? [Plot.ruleY([limit], { stroke: "var(--failed)", strokeDasharray: "6 4" }), Plot.text([limit], { y: (d) => d, text: (d) => `limit ${usd(d)}`, frameAnchor: "left", dx: 4, dy: -8 })] : []),
    ],
  });
};

function spendingTable(rows) {
  const days = [...grouped(rows, (row) => row.at.toISOString().slice(0, 10))];
  return [["UTC date", "spent by its end"], ...days.map(([day, some]) => [day, usd(some.at(-1).sum)])];
}

// Failures and flags.

function rates(takes) {
  const rows = [];
  for (const [storyboard, some] of grouped(takes, (take) => take.shot.storyboard)) {
    const ended = some.filter((take) => ["completed", "failed", "rejected"].includes(take.status));
    const judged = some.filter((take) => take.status === "completed" && take.nsfw != null);
    const checked = some.filter((take) => take.qa);
    const failed = ended.filter((take) => take.status !== "completed").length, flagged = judged.filter((take) => take.nsfw).length;
    if (ended.length) rows.push({ storyboard, what: "failed", share: failed / ended.length, number: failed, of: ended.length });
    if (judged.length) rows.push({ storyboard, what: "flagged NSFW", share: flagged / judged.length, number: flagged, of: judged.length });
    const bad = checked.filter((take) => take.qa.length).length;
    if (checked.length) rows.push({ storyboard, what: "failed a check", share: bad / checked.length, number: bad, of: checked.length });
  }
  return rows;
}

const WHATS = ["failed", "flagged NSFW", "failed a check"], WHAT_COLOURS = ["var(--failed)", "var(--nsfw)", "var(--flag)"];

const drawRates = (rows, width) => Plot.plot({
  width, height: 40 + 74 * Math.min(new Set(rows.map((row) => row.storyboard)).size, 12), marginLeft: 104, marginRight: 40, style: AXIS,
  fy: { label: null, axis: null, padding: 0.25, domain: [...new Set(rows.map((row) => row.storyboard))].slice(0, 12) }, y: { label: null, domain: WHATS },
  x: { label: null, percent: true, grid: true, domain: [0, Math.max(10, 100 * Math.max(...rows.map((row) => row.share)))], ticks: 5, tickFormat: (value) => `${value} %` },
  color: { domain: WHATS, range: WHAT_COLOURS },
  marks: [
    Plot.barX(rows, { fy: "storyboard", y: "what", x: (row) => row.share, fill: "what" }),
    Plot.text(rows, { fy: "storyboard", y: "what", x: (row) => row.share, text: (row) => `${row.number} of ${row.of}`, textAnchor: "start", dx: 4 }),
    Plot.text(new Set(rows.map((row) => row.storyboard)), { fy: (each) => each, text: (each) => each, frameAnchor: "top-left", fontWeight: 600, dy: -12, dx: -100, textAnchor: "start" }),
  ],
});

const rateTable = (rows) => [["storyboard", "", "takes", "of", "share"], ...rows.map((row) => [row.storyboard, row.what, row.number, row.of, percent(row.share)])];

// Effort for an approved second.

function efforts(page, shots) {
  const rows = [];
  for (const [storyboard, some] of grouped(shots, (shot) => shot.storyboard)) {
    const takes = some.flatMap((shot) => shot.takes), bought = takes.filter((take) => take.attempts > 0);
    const approved = takes.filter((take) => page.decisions.of(take).decision === "approved");
    const length = approved.reduce((all, take) => all + (take.duration_s || 0), 0);
    const sum = bought.reduce((all, take) => all + spent(take), 0);
    if (length) rows.push({ storyboard, takes: bought.length / length, dollars: sum / length, length });
  }
  return rows;
}

const drawEfforts = (rows, width) => Plot.plot({
  width, height: 48 + 32 * rows.length, marginLeft: 112, marginRight: 128, style: AXIS,
  y: { label: null, domain: rows.map((row) => row.storyboard) }, x: { label: "US dollars for an approved second", grid: true, zero: true },
  marks: [
    Plot.barX(rows, { y: "storyboard", x: "dollars", fill: "var(--accent)", fillOpacity: 0.7 }),
    Plot.text(rows, { y: "storyboard", x: "dollars", text: (row) => `${usd(row.dollars)}, ${row.takes.toFixed(2)} takes`, textAnchor: "start", dx: 4 }),
  ],
});

const effortTable = (rows) => [["storyboard", "approved", "dollars a second", "takes a second"],
  ...rows.map((row) => [row.storyboard, seconds(row.length), usd(row.dollars), row.takes.toFixed(2)])];

