// One clip or two, played in frame sync: the first leads, the other follows to the same frame.

import { Component, createRef, html, Icon } from "./html.js";
import { count, timecode } from "./words.js";

const SPEEDS = [1, 2, 4];
const LATE_FRAMES = 1.2;

export class Player extends Component {
  constructor() {
    super();
    this.lead = createRef();
    this.other = createRef();
    this.state = { frame: 0, isPlaying: false, wipe: 50, failed: "" };
    this.speed = 0; // of reverse or fast play; 0 is still
    this.tick = this.tick.bind(this);
  }

  get fps() {
    return this.props.take.fps || 24;
  }

  get frames() {
    const video = this.lead.current;
    return this.props.take.frames || (video?.duration ? Math.round(video.duration * this.fps) : 0);
  }

  componentDidMount() {
    this.props.control(this);
    this.watch();
    if (this.props.startFrame) this.pending = this.props.startFrame;
    else this.play();
  }

  componentDidUpdate(before) {
    if (before.take !== this.props.take) {
      this.stop();
      this.setState({ frame: 0, failed: "" });
      this.watch();
      if (this.props.startFrame == null) this.play();
    } else if (before.beside !== this.props.beside) this.follow(true);
  }

  componentWillUnmount() {
    this.stop();
    this.props.control(null);
  }

  watch() {
    const video = this.lead.current;
    if (video?.requestVideoFrameCallback) video.requestVideoFrameCallback(this.tick);
  }

  tick(_, { mediaTime }) {
    const video = this.lead.current;
    if (!video) return;
    if (this.state.isPlaying) this.shown(mediaTime);
    this.follow(!this.state.isPlaying);
    video.requestVideoFrameCallback(this.tick);
  }

  shown(time) {
    const frame = Math.max(0, Math.min(this.frames - 1, Math.round(time * this.fps)));
    if (frame !== this.state.frame) this.setState({ frame });
  }

  follow(isExact) {
    const video = this.lead.current, other = this.other.current;
    if (!video || !other || other.tagName !== "VIDEO") return;
    const behind = (other.currentTime - video.currentTime) * this.fps;
    if (Math.abs(behind) > (isExact ? 0.01 : LATE_FRAMES)) other.currentTime = video.currentTime;
  }

  play(speed = 1) {
    this.stopReverse();
    for (const video of this.videos()) {
      video.playbackRate = Math.abs(speed);
      video.play().catch(() => {});
    }
    this.speed = speed;
    this.setState({ isPlaying: true });
  }

  stop() {
    this.stopReverse();
    this.speed = 0;
    for (const video of this.videos()) video.pause();
    if (this.state.isPlaying) {
      this.setState({ isPlaying: false });
      this.shown(Math.floor(this.lead.current.currentTime * this.fps + 0.01) / this.fps);
    }
    this.follow(true);
  }

  stopReverse() {
    clearInterval(this.reverse);
    this.reverse = null;
  }

  toggle() {
    if (this.state.isPlaying || this.reverse) this.stop();
    else {
      if (this.state.frame >= this.frames - 1) this.go(0);
      this.play();
    }
  }

  faster() {
    const at = SPEEDS.indexOf(this.speed);
    this.play(this.speed > 0 ? SPEEDS[Math.min(at + 1, SPEEDS.length - 1)] : 1);
  }

  backwards() {
    const faster = this.reverse ? Math.min(this.speed * 2, -1) : -1;
    this.stop();
    this.speed = Math.max(faster, -4);
    const step = Math.max(1, Math.round((this.fps / 12) * -this.speed));
    this.reverse = setInterval(() => {
      if (this.lead.current?.seeking) return;
      if (this.state.frame <= 0) this.stop();
      else this.go(this.state.frame - step);
    }, 1000 / 12);
  }

  step(frames) {
    this.stop();
    this.go(this.state.frame + frames);
  }

  go(frame) {
    const video = this.lead.current;
    if (!video) return;
    const to = Math.max(0, Math.min((this.frames || 1) - 1, frame));
    video.currentTime = (to + 0.5) / this.fps;
    this.setState({ frame: to });
    this.follow(true);
  }

  videos() {
    return [this.lead.current, this.other.current].filter((each) => each?.tagName === "VIDEO");
  }

  render({ take, beside, how, notes, onFrame }, { frame, isPlaying, wipe, failed }) {
    const isWipe = beside && how === "wipe";
    const last = Math.max(this.frames - 1, 0);
    const seek = (event) => { this.stop(); this.go(Number(event.currentTarget.value)); };
    return html`
      <div class=${`stage${beside ? (isWipe ? " wipe" : " pair") : ""}`} style=${{ "--wipe": `${wipe}%` }}>
        <figure class="screen">
          <video ref=${this.lead} key=${take.id} src=${take.clips[0].src} poster=${take.clips[0].poster} playsinline preload="auto"
            onLoadedMetadata=${() => { if (this.pending) { this.go(this.pending); this.pending = null; } else this.forceUpdate(); }}
            onClick=${() => this.toggle()} onEnded=${() => this.stop()}
            onError=${() => this.setState({ failed: "This browser cannot play the clip." })}></video>
          ${failed && html`<p class="drawn bad" role="alert"><${Icon} name="broken" />${failed}</p>`}
          ${beside && html`<figcaption>${take.label}</figcaption>`}
        </figure>
        ${beside && html`
          <figure class="screen other">
            ${beside.clips
              ? html`<video ref=${this.other} key=${beside.id} src=${beside.clips[0].src} poster=${beside.clips[0].poster} muted playsinline preload="auto"
                  onLoadedMetadata=${() => this.follow(true)} onClick=${() => this.toggle()}></video>`
              : html`<img ref=${this.other} src=${beside.still} alt="still" />`}
            <figcaption>${beside.clips ? beside.label : "still"}</figcaption>
          </figure>`}
      </div>
      ${isWipe && html`<label class="wiper">wipe <input type="range" min="0" max="100" value=${wipe} onInput=${(event) => this.setState({ wipe: Number(event.currentTarget.value) })} /></label>`}
      <div class="transport">
        <button onClick=${() => this.toggle()} aria-label=${isPlaying ? "Pause" : "Play"} class="round">${isPlaying ? html`<b class="bars"></b>` : html`<${Icon} name="play" />`}</button>
        <div class="track">
          <input type="range" min="0" max=${last} step="1" value=${frame} aria-label="Frame" onInput=${seek} aria-valuetext=${`frame ${frame} of ${last}`} />
          ${notes.map((note) => html`<button class="mark" tabindex="-1" key=${note.frame} style=${{ left: `${last ? (100 * note.frame) / last : 0}%` }}
            title=${note.note} aria-label=${`Note at frame ${note.frame}`} onClick=${() => { this.stop(); this.go(note.frame); }}></button>`)}
        </div>
        <output class="counter" title=${`${count(this.frames, "frame")} at ${this.fps} a second`}>${timecode(frame, this.fps)} <b data-frame=${frame}>${frame}</b> / ${last}</output>
      </div>`;
  }
}
