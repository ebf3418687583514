// A page whose run still works: it loads small scripts beside it again and again, which a page on disk may.

import { html } from "./html.js";
import { count, moment, seconds, usd } from "./words.js";

const EVERY_MS = 2000, SLOWEST_MS = 30_000, SILENT_AFTER_MS = 60_000;

export function watch(page) {
  let revision = 0, waits = EVERY_MS, isOver = false;
  const load = (name) => new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = `${name}?${Date.now()}`;
    script.onload = () => resolve(true);
    script.onerror = () => resolve(false);
    document.head.append(script);
    setTimeout(() => script.remove(), 10_000);
  });
  window.animatic = {
    board: (data, number) => {
      revision = number;
      page.receive(data);
    },
    live: (state) => {
      page.live = state;
      isOver = Boolean(state.ended);
      page.applyStates();
      page.changed();
    },
  };
  const look = async () => {
    const isThere = await load("live.js");
    if (isThere && (page.live?.revision ?? 0) > revision) await load("board.js");
    waits = isThere ? EVERY_MS : Math.min(2 * waits, SLOWEST_MS);
    if (!isOver) setTimeout(look, waits);
  };
  look();
}

export function Live({ live }) {
  if (!live || live.served) return null;
  const parts = [
    ["completed", live.completed, "come"],
    ["failed", live.failed, "failed"],
    ["making", live.making, "being made"],
    ["queued", live.queued, "queued at WaveSpeed"],
    ["pending", live.waiting, "to be bought"],
  ];
  const total = parts.reduce((sum, [, number]) => sum + (number || 0), 0);
  const isSilent = !live.ended && Date.now() - Date.parse(live.at) > SILENT_AFTER_MS;
  const money = live.spent_usd == null ? "" : usd(live.spent_usd) + (live.limit_usd != null ? ` of ${usd(live.limit_usd)}` : "") + " reserved";
  return html`
    <section class=${`live${live.ended ? " is-over" : ""}`} aria-label="The run">
      <div class="bar" aria-hidden="true">${parts.map(([status, number]) => number > 0 && html`
        <i key=${status} data-status=${status} style=${{ flexGrow: number }}></i>`)}</div>
      <p role="status">
        <b>${isSilent ? `No sign of the run since ${moment(live.at)}: run it again, and it goes on` : live.message || (live.ended ? "The run is over" : "The run works")}</b>
        ${parts.map(([status, number, words]) => number > 0 && html`<span data-status=${status}><i class="dot"></i>${number.toLocaleString("en-US")} ${words}</span>`)}
        ${live.to_archive > live.archived && html`<span>${live.archived.toLocaleString("en-US")} of ${count(live.to_archive, "clip")} archived</span>`}
        ${money && html`<span>${money}</span>`}
        ${!live.ended && live.eta_s != null && html`<span>about ${seconds(live.eta_s)} left</span>`}
        <span class="sum">${count(total, "take")}</span>
      </p>
      ${live.limit_usd > 0 && html`<div class="bar spend" aria-hidden="true"><i style=${{ width: `${Math.min(100, (100 * (live.spent_usd || 0)) / live.limit_usd)}%` }}></i></div>`}
    </section>`;
}
