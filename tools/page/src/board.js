// The board: storyboards in order, each shot with its still and its takes side by side.

import { Component, createRef, html, Icon } from "./html.js";
import { CHECK, count, DECISION, seconds, STATUS, usd } from "./words.js";
import { shotsInOrder, spent } from "./model.js";

const ICONS = { failed: "broken", rejected: "broken", invalid: "broken", unknown: "unsure", held: "unsure" };
const WAITS = new Set(["pending", "queued", "making"]);

export function Board({ page, visible }) {
  const { model, view } = page;
  if (!model.shots.length) {
    return html`<p class="empty">The tables have no rows.</p>`;
  }
  const isSorted = Boolean(view.sort);
  const shots = shotsInOrder(model, view);
  const groups = isSorted ? [[null, shots]] : model.storyboards.map((name) => [name, shots.filter((s) => s.storyboard === name)]);
  return html`
    <div class="board">
      ${groups.map(([name, list]) => html`<${Storyboard} key=${name ?? ""} name=${name} shots=${list} page=${page} visible=${visible} />`)}
      ${!visible.size && html`
        <p class="empty" role="status">No shot fits the filters.
          <button class="plain" onClick=${() => page.clearFilters()}>Show all ${count(model.shots.length, "shot")}</button></p>`}
    </div>`;
}

function Storyboard({ name, shots, page, visible }) {
  const shown = shots.filter((shot) => visible.has(shot.key)).length;
  return html`
    <section class="storyboard" hidden=${!shown}>
      ${name != null && html`<h2>${name} <small>${shown === shots.length ? count(shots.length, "shot") : `${shown} of ${count(shots.length, "shot")}`}</small></h2>`}
      <div class="shots">
        ${shots.map((shot) => html`<${Shot} key=${shot.key} shot=${shot} page=${page} isShown=${visible.has(shot.key)}
          mark=${page.marks.get(shot.key) || 0} isNamed=${name == null} />`)}
      </div>
    </section>`;
}

class Shot extends Component {
  shouldComponentUpdate(next) {
    return next.shot !== this.props.shot || next.isShown !== this.props.isShown || next.mark !== this.props.mark
      || next.isNamed !== this.props.isNamed;
  }

  render({ shot, page, isShown, isNamed, mark }) {
    const shape = shot.aspect < 0.8 ? "tall" : shot.aspect < 1.2 ? "square" : "wide";
    const size = { "--aspect": shot.aspect, "--tiles": Math.min(shot.takes.length + shot.versions.filter((_, at) => hasStill(shot, at)).length, 8) };
    return html`
      <article class=${`shot ${shape}`} hidden=${!isShown} style=${size} aria-label=${shot.id}>
        <${Inside} shot=${shot} page=${page} isNamed=${isNamed} mark=${mark} />
      </article>`;
  }
}

// What is inside a shot, which a filter never changes.
class Inside extends Component {
  shouldComponentUpdate(next) {
    return next.shot !== this.props.shot || next.mark !== this.props.mark || next.isNamed !== this.props.isNamed;
  }

  render({ shot, page, isNamed }) {
    return html`
      <h3>${shot.id} ${isNamed && html`<small>${shot.storyboard}</small>`}</h3>
      <div class="versions">${shot.versions.map((version, at) => html`
        <div class="version" style=${{ "--tiles": version.takes.length + Number(hasStill(shot, at)) }}>
          <ul class="tiles">
            ${hasStill(shot, at) && html`<${Still} version=${version} shot=${shot} page=${page} />`}
            ${version.takes.map((take) => html`<${Take} key=${take.id} take=${take} page=${page} />`)}
          </ul>
          <p class="prompt" title=${version.prompt} dir="auto">
            ${shot.versions.length > 1 && html`<b>v${version.n}</b> `}${version.prompt || html`<i>no prompt</i>`}
          </p>
        </div>`)}</div>`;
  }
}

// Versions with the same still show it once, at the first of them.
const hasStill = (shot, at) => at === 0 || shot.versions[at].image !== shot.versions[at - 1].image || shot.versions[at].still !== shot.versions[at - 1].still;

function Still({ version, shot, page }) {
  return html`
    <li class="tile still">
      <div class="frame">
        ${version.still
          ? html`<img loading="lazy" decoding="async" src=${version.still} alt=${`Still of ${shot.id}`} />`
          : html`<p class="drawn"><${Icon} name="away" /><span>${version.still_problem || (version.image ? (page.model.data.live ? "the still's picture comes" : "no picture of the still") : "starts from another shot's last frame")}</span></p>`}
      </div>
      <p class="line"><span class="kind">still</span></p>
    </li>`;
}

function Take({ take, page }) {
  const decision = page.decisions.of(take), notes = page.decisions.notesOn(take);
  const flags = take.qa || [];
  const label = [take.shot.id, take.label, STATUS[take.status] || take.status, DECISION[decision.decision], take.nsfw && "flagged NSFW",
    flags.length && `${count(flags.length, "check")} failed`].filter(Boolean).join(", ");
  const said = decision.decision ? ` is-${decision.decision}` : "";
  const isPicked = page.pickedOf(take.shot) === take;
  return html`
    <li class=${`tile take${said}${isPicked ? " is-picked" : ""}`} data-status=${take.status} data-id=${take.id}>
      <${Frame} take=${take} page=${page} label=${label} />
      ${flags.length > 0 && html`<span class="badge checks" title=${flags.map((flag) => CHECK[flag] || flag).join("; ")}><${Icon} name="flag" />${flags.length}</span>`}
      ${(decision.note || notes.length > 0) && html`<span class="badge notes" title=${decision.note || notes[0].note}><${Icon} name="note" />${notes.length || ""}</span>`}
      <p class="line">
        <span class="dot"></span><span class="name" title=${isPicked ? "used by reel, timeline and chains" : null}>${take.label}</span>
        <span class="facts">${[take.status === "completed" ? seconds(take.duration_s) : STATUS[take.status] || take.status, spent(take) ? usd(spent(take)) : ""].filter(Boolean).join(" · ")}</span>
      </p>
      ${take.n != null && html`
        <div class="decide" role="group" aria-label=${`Decision on ${take.shot.id} ${take.label}`}>
          ${Object.entries({ approved: "approve", retake: "retake", discarded: "discard" }).map(([value, verb]) => html`
            <button class=${verb} tabindex="-1" aria-pressed=${decision.decision === value} title=${verb} aria-label=${`${verb} ${take.shot.id} ${take.label}`}
              disabled=${verb === "approve" && !canApprove(take)}
              onClick=${() => page.decide(take, value)}><${Icon} name=${verb} /></button>`)}
        </div>`}
    </li>`;
}

export const canApprove = (take) => take.status === "completed" || WAITS.has(take.status);

class Frame extends Component {
  constructor() {
    super();
    this.strip = createRef();
    this.state = { at: null };
    this.scrub = (event) => {
      const strip = this.props.take.clips[0]?.strip;
      if (!strip || event.pointerType === "touch") return;
      const box = event.currentTarget.getBoundingClientRect();
      const at = Math.min(strip[1] - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * strip[1])));
      if (at !== this.state.at) this.setState({ at });
    };
    this.leave = () => this.setState({ at: null });
  }

  render({ take, page, label }, { at }) {
    const clip = take.clips[0], isHidden = take.nsfw && !page.revealed.has(take.id);
    const open = () => (isHidden ? page.reveal(take) : page.open(take));
    return html`
      <div class=${`frame${isHidden ? " is-hidden" : ""}`} onPointerMove=${isHidden ? null : this.scrub} onPointerLeave=${this.leave}>
        <button class="open" data-take=${take.id} onClick=${open}>
          <span class="unseen">${label}</span>
          ${clip?.poster ? html`<img loading="lazy" decoding="async" src=${clip.poster} alt="" />` : html`<${Drawn} take=${take} clip=${clip} />`}
          ${at != null && clip?.strip && html`<${Strip} strip=${clip.strip} at=${at} take=${take} />`}
          ${isHidden && html`<span class="veil">flagged NSFW<br /><u>show</u></span>`}
        </button>
      </div>`;
  }
}

function Strip({ strip: [src, frames, columns], at, take }) {
  const rows = Math.ceil(frames / columns), ratio = take.width && take.height ? take.width / take.height : take.shot.aspect;
  const part = (index, parts) => (parts > 1 ? `${(100 * index) / (parts - 1)}%` : "0%");
  const style = {
    aspectRatio: String(ratio),
    [ratio >= take.shot.aspect ? "width" : "height"]: "100%",
    backgroundImage: `url("${src}")`,
    backgroundSize: `${100 * columns}% ${100 * rows}%`,
    backgroundPosition: `${part(at % columns, columns)} ${part(Math.floor(at / columns), rows)}`,
  };
  return html`<span class="strip"><i style=${style}></i><b style=${{ width: `${(100 * (at + 1)) / frames}%` }}></b></span>`;
}

// What is shown of a take without a picture: why, and what to do, drawn with the same care as a picture.
export function Drawn({ take, clip }) {
  if (WAITS.has(take.status)) {
    return html`<span class=${`drawn waits ${take.status}`}><${Icon} name="wait" /><span>${STATUS[take.status]}</span></span>`;
  }
  if (take.status === "completed") {
    const why = clip?.problem ? `the clip ${clip.problem}` : take.unarchived || "the clip was not kept";
    return clip?.src
      ? html`<span class="drawn"><${Icon} name="play" /><span>${clip.problem || "no picture of it"}</span></span>`
      : html`<span class="drawn"><${Icon} name="away" /><span>${why}</span></span>`;
  }
  return html`<span class="drawn bad"><${Icon} name=${ICONS[take.status] || "broken"} /><span><b>${STATUS[take.status] || take.status}</b> ${take.error}</span></span>`;
}
