// The bar above the board: search, filters, order, and what was decided.

import { html } from "./html.js";
import { count, DECISION, STATUS } from "./words.js";
import { SORTS } from "./model.js";

export function Bar({ page, visible }) {
  const { model, view, decisions } = page;
  const takes = model.shots.flatMap((shot) => shot.takes);
  const has = (of) => takes.reduce((counts, take) => { for (const each of of(take)) counts.set(each, (counts.get(each) || 0) + 1); return counts; }, new Map());
  const statuses = has((take) => [take.status]), decided = has((take) => [decisions.of(take).decision || "undecided"]);
  const checks = has((take) => [...(take.qa || []), ...(take.nsfw ? ["nsfw"] : [])]);
  return html`
    <header class="bar-top">
      <h1>${model.data.title}</h1>
      <nav class="tabs" aria-label="Views">
        ${[["", "Board"], ["charts", "Charts"]].map(([name, words]) => html`
          <button aria-current=${(view.view || "") === name ? "page" : null} onClick=${() => page.look({ view: name || null }, true)}>${words}</button>`)}
      </nav>
      <input id="search" type="search" placeholder="search shots, prompts, errors" aria-label="Search" value=${view.q || ""}
        onInput=${(event) => page.look({ q: event.currentTarget.value || null })} />
      <${Save} page=${page} />
      <button class="plain" onClick=${() => page.turnTheme()} title="light, dark, or as your system is">theme: ${page.theme}</button>
      <button class="plain" onClick=${() => page.help()} aria-label="Keys and help" title="keys (?)">?</button>
    </header>
    <div class="filters" role="group" aria-label="Filters">
      ${model.storyboards.length > 1 && html`<${Choice} page=${page} name="storyboard" label="storyboard" values=${model.storyboards.map((each) => [each, each])} />`}
      <${Choice} page=${page} name="status" label="status" values=${[...statuses].map(([each, number]) => [each, `${STATUS[each] || each} (${number})`])} />
      <${Choice} page=${page} name="decision" label="decision" values=${["approved", "retake", "discarded", "undecided"].filter((each) => decided.get(each)).map((each) => [each, `${DECISION[each] || each} (${decided.get(each)})`])} />
      ${checks.size > 0 && html`<${Choice} page=${page} name="check" label="check" values=${[["any", "any failed"], ...[...checks].map(([each, number]) => [each, `${each} (${number})`])]} />`}
      ${model.models.length > 1 && html`<${Choice} page=${page} name="model" label="model" values=${model.models.map((each) => [each, each])} />`}
      <label>order <select value=${view.sort || "manifest"} onChange=${(event) => page.look({ sort: event.currentTarget.value === "manifest" ? null : event.currentTarget.value })}>
        ${Object.entries(SORTS).map(([name, words]) => html`<option value=${name}>${words}</option>`)}</select></label>
      <span class="sum" role="status">${visible.size === model.shots.length ? "" : `${visible.size} of `}${count(model.shots.length, "shot")}, ${count(takes.length, "take")}</span>
      ${page.isFiltered && html`<button class="plain" onClick=${() => page.clearFilters()}>show all</button>`}
    </div>
    ${(model.data.notes || []).map((note) => html`<p class="notice">${note}</p>`)}
    ${decisions.problem && html`<p class="notice" role="alert">${decisions.problem}</p>`}`;
}

function Choice({ page, name, label, values }) {
  const chosen = page.view[name] || [];
  const set = (value) => page.look({ [name]: value ? [value] : null });
  return html`
    <label class=${chosen.length ? "is-set" : ""}>${label} <select value=${chosen[0] || ""} onChange=${(event) => set(event.currentTarget.value)}>
      <option value="">all</option>
      ${values.map(([value, words]) => html`<option value=${value}>${words}</option>`)}
    </select></label>`;
}

function Save({ page }) {
  const { decisions } = page, changed = decisions.changes.size;
  if (decisions.isServed) return html`<span class="saved" role="status">${changed ? "saving …" : "decisions are saved"}</span>`;
  return html`<button class=${`save${changed ? " is-due" : ""}`} onClick=${() => page.save()}
    title="decisions.csv, to be put beside the results">Save decisions${changed ? ` (${changed})` : ""}</button>`;
}
