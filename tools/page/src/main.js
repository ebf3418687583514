// The page: what is looked at, what was decided, and one place that both change in.

import { Component, createRef, html, render } from "./html.js";
import { readView, writeView } from "./address.js";
import { Bar } from "./bar.js";
import { Board, canApprove } from "./board.js";
import { Charts } from "./charts.js";
import { Decisions } from "./decisions.js";
import { KEYS, letters, listen } from "./keys.js";
import { Live, watch } from "./live.js";
import { applyStates, FILTERS, FORM, makeModel, shotsInOrder, visibleShots } from "./model.js";
import { Viewer } from "./viewer.js";

const THEMES = ["auto", "light", "dark"];

class Page {
  constructor(data) {
    this.model = makeModel(data);
    this.view = readView();
    this.marks = new Map();
    this.revealed = new Set();
    this.player = this.viewer = this.live = null;
    this.decisions = new Decisions(data, (shot) => this.mark(shot));
    this.theme = this._storedTheme();
    this.applyTheme();
    addEventListener("hashchange", () => { this.view = readView(); this.changed(); });
    addEventListener("popstate", () => { this.view = readView(); this.changed(); });
  }

  changed() {
    this.app?.forceUpdate();
  }

  mark(shot) {
    const marked = shot ? [shot] : this.model.shots;
    for (const each of marked) this.marks.set(each.key, (this.marks.get(each.key) || 0) + 1);
    this.changed();
  }

  receive(data) {
    this.model = makeModel(data);
    this.applyStates();
    if (data.decisions && !this.decisions.isServed) this.decisions.load(data.decisions);
    this.changed();
  }

  applyStates() {
    for (const shot of applyStates(this.model, this.live?.states)) this.mark(shot);
  }

  // What is looked at.

  look(values, isStep = false) {
    this.view = Object.fromEntries(Object.entries({ ...this.view, ...values }).filter(([, value]) => value != null));
    writeView(this.view, isStep);
    this.changed();
  }

  get isFiltered() {
    return FILTERS.some((name) => this.view[name]);
  }

  clearFilters() {
    this.look(Object.fromEntries(FILTERS.map((name) => [name, null])));
  }

  get visible() {
    return visibleShots(this.model, this.view, (take) => this.decisions.of(take));
  }

  get openTake() {
    const { shot, take } = this.view;
    if (take && this.model.takes.has(take)) return this.model.takes.get(take);
    const found = shot && this.model.shots.find((each) => each.key === shot || each.id === shot);
    return found ? this.pickedOf(found) || found.takes.at(-1) : null;
  }

  open(take) {
    const isOpen = Boolean(this.openTake);
    if (!isOpen) this.from = document.activeElement;
    const beside = this.view.beside === "still" ? "still" : null;
    this.look({ shot: take.shot.key, take: take.id, beside, frame: null }, !isOpen);
  }

  close() {
    this.look({ shot: null, take: null, beside: null, frame: null, how: null });
    if (this.from?.isConnected) this.from.focus();
  }

  step(by) {
    const visible = this.visible, now = this.openTake;
    const takes = shotsInOrder(this.model, this.view).filter((shot) => visible.has(shot.key) || shot === now.shot).flatMap((shot) => shot.takes);
    const next = takes[takes.indexOf(now) + by];
    if (next) this.open(next);
  }

  besideOf(take) {
    const { beside } = this.view;
    if (beside === "still") return take.version.still ? { still: take.version.still } : null;
    const other = beside && this.model.takes.get(beside);
    return other && other !== take && other.clips[0]?.src ? other : null;
  }

  compare(id) {
    this.look({ beside: id || null, how: id ? this.view.how : null });
  }

  wipe() {
    this.look({ how: this.view.how === "wipe" ? null : "wipe" });
  }

  nextBeside() {
    const take = this.openTake, now = this.besideOf(take);
    if (now && this.view.how !== "wipe") return this.wipe();
    const others = take.shot.takes.filter((each) => each !== take && each.clips[0]?.src).map((each) => each.id);
    const all = [...others, ...(take.version.still ? ["still"] : []), ""];
    this.look({ how: null });
    this.compare(now ? all[(all.indexOf(this.view.beside) + 1) % all.length] : all[0]);
  }

  reveal(take) {
    this.revealed.add(take.id);
    this.mark(take.shot);
  }

  help() {
    this.isHelpOpen = !this.isHelpOpen;
    this.changed();
  }

  // What is decided.

  decide(take, decision) {
    if (decision === "approved" && !canApprove(take)) return;
    const old = this.decisions.of(take).decision;
    this.decisions.change(take, { decision: old === decision ? "" : decision });
  }

  change(take, values, frame = null) {
    this.decisions.change(take, values, frame);
  }

  pickedOf(shot) {
    const usable = shot.takes.filter((take) => take.status === "completed" && this.decisions.of(take).decision !== "discarded");
    const approved = usable.filter((take) => this.decisions.of(take).decision === "approved");
    return (approved.length ? approved : usable).at(-1) || null;
  }

  save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([this.decisions.csv(this.model.takes)], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // Light and dark.

  _storedTheme() {
    try {
      return THEMES.find((each) => each === localStorage.getItem("animatic review theme")) || "auto";
    } catch {
      return "auto";
    }
  }

  applyTheme() {
    if (this.theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = this.theme;
  }

  turnTheme() {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("animatic review theme", this.theme);
    } catch {
      // a browser that keeps nothing forgets it
    }
    this.applyTheme();
    this.changed();
  }
}

class App extends Component {
  constructor(props) {
    super(props);
    props.page.app = this;
  }

  render({ page }) {
    const visible = page.visible, take = page.openTake;
    return html`
      <${Bar} page=${page} visible=${visible} />
      <${Live} live=${page.live} />
      <main>
        ${page.view.view === "charts"
          ? html`<${Charts} page=${page} visible=${visible} />`
          : html`<${Board} page=${page} visible=${visible} />`}
      </main>
      ${take && html`<${Viewer} page=${page} take=${take} />`}
      ${page.isHelpOpen && html`<${Help} page=${page} />`}`;
  }
}

class Help extends Component {
  dialog = createRef();

  componentDidMount() {
    this.dialog.current.showModal();
  }

  render({ page }) {
    return html`
      <dialog class="help" ref=${this.dialog} aria-labelledby="help-title" onClose=${() => page.isHelpOpen && page.help()}>
        <h2 id="help-title">Keys</h2>
        <dl>${KEYS.map(([keys, words]) => html`<dt>${keys.split(", ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${words}</dd>`)}</dl>
        <label><input type="checkbox" checked=${letters.areOn} onChange=${(event) => { letters.areOn = event.currentTarget.checked; }} /> single letters and signs do this too</label>
        <p><button onClick=${() => this.dialog.current.close()}>Close</button></p>
      </dialog>`;
  }
}

function start() {
  const root = document.getElementById("app");
  const data = JSON.parse(document.getElementById("data").textContent);
  if (data.form !== FORM) {
    root.textContent = "This page and its data are of different versions of animatic. Write the page again with: animatic review";
    return;
  }
  const page = new Page(data);
  render(html`<${App} page=${page} />`, root);
  root.dataset.ready = "true";
  listen(page);
  page.decisions.findServer();
  if (data.live) watch(page);
}

start();
