// The viewer: one take, large, with all that is known of it and what is decided on it; another take or the still beside.

import { Component, createRef, html, Icon } from "./html.js";
import { canApprove, Drawn } from "./board.js";
import { Player } from "./player.js";
import { CHECK, count, moment, percent, seconds, STATUS, timecode, usd } from "./words.js";

export class Viewer extends Component {
  constructor() {
    super();
    this.dialog = createRef();
    this.note = createRef();
    this.main = createRef();
    this.player = null;
    this.control = (player) => { this.player = player; this.props.page.player = player; };
    this.noteFrame = null;
  }

  componentDidMount() {
    this.dialog.current.showModal();
    this.main.current.focus();
    this.props.page.viewer = this;
  }

  componentDidUpdate(before) {
    if (before.take !== this.props.take) this.noteFrame = null;
  }

  componentWillUnmount() {
    this.props.page.viewer = null;
    this.props.page.player = null;
  }

  writeNote() {
    this.player?.stop();
    this.noteFrame = this.player ? this.player.state.frame : null;
    this.forceUpdate(() => this.note.current?.focus());
  }

  render({ page, take }) {
    const { shot, version } = take, clip = take.clips[0];
    const isPlayable = clip?.src && /\.(mp4|m4v|mov|webm)$/.test(clip.src);
    const decision = page.decisions.of(take), notes = page.decisions.notesOn(take);
    const beside = isPlayable ? page.besideOf(take) : null;
    return html`
      <dialog class="viewer" ref=${this.dialog} aria-labelledby="viewer-title" onClose=${() => page.close()}
        onClick=${(event) => event.target === this.dialog.current && page.close()}>
        <header>
          <h2 id="viewer-title">${shot.id} <small>${shot.storyboard} · ${take.label}</small></h2>
          <${Compare} page=${page} take=${take} isPlayable=${isPlayable} />
          <button class="plain" onClick=${() => page.step(-1)} title="previous take (↑)" aria-label="Previous take">↑</button>
          <button class="plain" onClick=${() => page.step(1)} title="next take (↓)" aria-label="Next take">↓</button>
          <button class="plain" onClick=${() => page.close()} title="close (Esc)" aria-label="Close"><${Icon} name="close" /></button>
        </header>
        <div class="main" tabindex="-1" ref=${this.main} style=${{ "--aspect": shot.aspect }}>
          ${isPlayable
            ? html`<${Player} take=${take} beside=${beside} how=${page.view.how} notes=${notes} control=${this.control}
                startFrame=${page.view.frame ? Number(page.view.frame) : null} />`
            : html`<div class="stage"><figure class="screen"><${Unplayable} take=${take} clip=${clip} /></figure></div>`}
          <${Takes} page=${page} take=${take} />
        </div>
        <aside>
          ${take.n != null && html`<${Decide} page=${page} take=${take} decision=${decision} />`}
          <${State} take=${take} />
          <section><h3>Prompt</h3><p class="text" dir="auto">${version.prompt || "none"}</p></section>
          ${take.n != null && html`<${Notes} page=${page} take=${take} notes=${notes} decision=${decision} viewer=${this} fps=${take.fps || 24} />`}
          ${take.qa && html`<${Checks} take=${take} />`}
          <${Facts} take=${take} />
        </aside>
      </dialog>`;
  }
}

function Unplayable({ take, clip }) {
  if (clip?.src && /\.(png|jpe?g|webp)$/.test(clip.src)) return html`<img src=${clip.src} alt="output" />`;
  if (clip?.src && /\.(mp3|wav|flac)$/.test(clip.src)) return html`<audio src=${clip.src} controls></audio>`;
  return html`<${Drawn} take=${take} clip=${clip} />`;
}

function Compare({ page, take, isPlayable }) {
  const others = take.shot.takes.filter((each) => each !== take && each.clips[0]?.src);
  if (!isPlayable || !(others.length || take.version.still)) return null;
  return html`
    <label class="compare">beside
      <select value=${page.view.beside || ""} onChange=${(event) => { page.compare(event.currentTarget.value); page.viewer.main.current.focus(); }}>
        <option value="">nothing</option>
        ${take.version.still && html`<option value="still">the still</option>`}
        ${others.map((each) => html`<option value=${each.id}>${each.label}</option>`)}
      </select>
    </label>
    ${page.view.beside && html`<button class="plain" aria-pressed=${page.view.how === "wipe"} onClick=${() => page.wipe()}>wipe</button>`}`;
}

function Takes({ page, take }) {
  if (take.shot.takes.length < 2) return null;
  return html`
    <ul class="others" aria-label="Takes of this shot">
      ${take.shot.takes.map((each) => html`
        <li><button aria-current=${each === take} onClick=${() => page.open(each)} data-status=${each.status}>
          ${each.clips[0]?.poster && !(each.nsfw && !page.revealed.has(each.id)) ? html`<img src=${each.clips[0].poster} alt="" loading="lazy" />` : html`<i></i>`}
          <span><i class="dot"></i> ${each.label}</span></button></li>`)}
    </ul>`;
}

function Decide({ page, take, decision }) {
  const button = (value, verb, key) => html`
    <button class=${`big ${verb}`} aria-pressed=${decision.decision === value} disabled=${verb === "approve" && !canApprove(take)} onClick=${() => page.decide(take, value)}>
      <${Icon} name=${verb} /> ${verb} <kbd>${key}</kbd></button>`;
  return html`
    <section class="decision">
      <div class="row" role="group" aria-label="Decision">${button("approved", "approve", "A")}${button("retake", "retake", "R")}${button("discarded", "discard", "D")}</div>
      ${decision.decision === "retake" && html`
        <label>New prompt <textarea rows="4" dir="auto" placeholder="empty: the same prompt again" value=${decision.prompt}
          onChange=${(event) => page.change(take, { prompt: event.currentTarget.value.trim() })}></textarea></label>
        <button class="plain" onClick=${() => page.change(take, { prompt: take.version.prompt })}>start from the present prompt</button>`}
      <label class="rating">Rating
        <select value=${decision.rating} onChange=${(event) => page.change(take, { rating: event.currentTarget.value })}>
          ${["", "1", "2", "3", "4", "5"].map((value) => html`<option value=${value}>${value ? "★".repeat(Number(value)) : "none"}</option>`)}
        </select>
      </label>
    </section>`;
}

class Notes extends Component {
  componentDidUpdate(before) {
    if (before.take !== this.props.take) this.keep(before.take);
  }

  componentWillUnmount() {
    this.keep(this.props.take);
  }

  // Keeps what was typed, also where the viewer is closed or another take is opened: nothing that was typed is lost.
  keep(take, isDone = false) {
    const { page, viewer } = this.props, field = viewer.note.current;
    const text = (field?.value ?? this.typed ?? "").trim();
    this.typed = "";
    if (field) field.value = "";
    if (text) page.change(take, { note: text }, this.frame ?? null);
    this.frame = null;
    if (!isDone) return;
    viewer.noteFrame = null;
    viewer.main.current?.focus();
    viewer.forceUpdate();
  }

  render({ page, take, notes, decision, viewer, fps }) {
    this.frame = viewer.noteFrame;
    const keep = (event) => {
      event.preventDefault();
      this.keep(take, true);
    };
    const onKey = (event) => {
      if (event.key === "Escape" || (event.key === "Enter" && !event.shiftKey)) {
        event.stopPropagation();
        keep(event);
      }
    };
    const frame = viewer.noteFrame;
    return html`
      <section class="notes"><h3>Notes</h3>
        ${decision.note && html`<p class="text" dir="auto">${decision.note} <button class="plain" onClick=${() => page.change(take, { note: "" })} aria-label="Remove the note">remove</button></p>`}
        <ul>${notes.map((note) => html`
          <li key=${note.frame}><button class="plain at" onClick=${() => { viewer.player?.stop(); viewer.player?.go(note.frame); }}>${timecode(note.frame, fps)}</button>
            <span dir="auto">${note.note}</span>
            <button class="plain" onClick=${() => page.change(take, { note: "" }, note.frame)} aria-label=${`Remove the note at frame ${note.frame}`}>remove</button></li>`)}</ul>
        <form onSubmit=${keep}>
          <textarea ref=${viewer.note} rows="2" dir="auto" aria-label=${frame == null ? "Note on this take" : `Note at frame ${frame}`}
            placeholder=${frame == null ? "note on the take; N: at this frame" : `note at frame ${frame}; Enter keeps it`}
            onInput=${(event) => { this.typed = event.currentTarget.value; }} onKeyDown=${onKey}></textarea>
          <button class="plain" type="submit">keep the note</button>
          ${frame != null && html`<button class="plain" type="button" onClick=${() => { viewer.noteFrame = null; viewer.forceUpdate(); }}>on the whole take</button>`}
        </form>
      </section>`;
  }
}

function State({ take }) {
  return html`
    <section class="state" data-status=${take.status}>
      <p><i class="dot"></i> <b>${STATUS[take.status] || take.status}</b>${take.code != null && ` · code ${take.code}`}</p>
      ${take.error && html`<p class="text">${take.error}</p>`}
      ${take.unarchived && html`<p class="text">${take.unarchived}</p>`}
      ${take.advice && html`<p class="advice">${take.advice}</p>`}
      ${take.nsfw && html`<p class="advice">WaveSpeed flagged it as NSFW.</p>`}
      ${take.nsfw == null && take.status === "completed" && html`<p class="advice">WaveSpeed did not judge whether it is NSFW.</p>`}
    </section>`;
}

function Checks({ take }) {
  const m = take.measures;
  const measures = [
    ["likeness of the first frame", m.first_frame_similarity, percent],
    ["black", m.black_fraction, percent],
    ["frozen", m.frozen_fraction, percent],
    ["hard cuts", m.cuts, String],
    ["motion", m.motion, (value) => value.toFixed(2)],
  ].filter(([, value]) => value != null);
  return html`
    <section><h3>Checks</h3>
      ${take.qa.length
        ? html`<ul class="flags">${take.qa.map((name) => html`<li><${Icon} name="flag" /> <b>${name}</b>: ${CHECK[name] || "failed"}</li>`)}</ul>`
        : html`<p>All passed.</p>`}
      <dl>${measures.map(([name, value, show]) => html`<dt>${name}</dt><dd>${show(value)}</dd>`)}</dl>
    </section>`;
}

function Facts({ take }) {
  const { version } = take;
  const rows = [
    ["made in", take.inference_ms != null && seconds(take.inference_ms / 1000)],
    ["waited", take.queue_ms != null && seconds(take.queue_ms / 1000)],
    ["submitted", moment(take.submitted_at)],
    ["completed", moment(take.completed_at)],
    ["quoted", usd(take.quoted_usd)],
    ["charged", usd(take.charged_usd)],
    ["refunded", take.refunded_usd ? usd(take.refunded_usd) : ""],
    ["bought", take.attempts > 1 ? `${take.attempts} times` : ""],
    ["clip", take.width && `${take.width} × ${take.height}, ${take.frames} frames at ${take.fps}/s`],
    ["outputs", take.outputs && `${take.outputs}; the first is shown`],
    ["model", version.model],
    ...Object.entries(version.inputs),
    ["still", version.image],
    ["prediction", take.prediction_id],
    ["run", take.run_id],
    ["fingerprint", take.fp],
  ].filter(([, value]) => value);
  return html`
    <section><h3>Facts</h3>
      <dl>${rows.map(([name, value]) => html`<dt>${name}</dt><dd dir="auto">${value}</dd>`)}</dl>
      ${take.url && html`<p><a href=${take.url} rel="noopener noreferrer" target="_blank">WaveSpeed's own file</a>${take.expires_at && `, until ${moment(take.expires_at)}`}</p>`}
    </section>`;
}
