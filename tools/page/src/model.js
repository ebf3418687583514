// The board as the page sees it: shots and takes in order, with what filters and charts ask of them. Pure.

export const FORM = 1;
const STATES = ["queued", "making"];

export function makeModel(data) {
  const shots = [], takes = new Map();
  for (const storyboard of data.storyboards) {
    for (const raw of storyboard.shots) {
      const shot = { ...raw, storyboard: storyboard.name, key: `${storyboard.name}/${raw.id}`, index: shots.length };
      shot.versions = raw.versions.map((version) => {
        const shown = { ...version, inputs: version.inputs || {} };
        shown.takes = version.takes.map((take) => makeTake(take, shown, shot));
        return shown;
      });
      shot.takes = shot.versions.flatMap((version) => version.takes);
      shot.newest = shot.versions[shot.versions.length - 1];
      shot.text = textOf(shot);
      shot.ids = shot.takes.flatMap((take) => [take.fp, take.prediction_id]).filter(Boolean).join(" ");
      shot.named = new Map(); // takes that a decision means which names only shot and number, by that number
      for (const take of shot.takes) if (take.named || !shot.named.get(take.n)?.named) shot.named.set(take.n, take);
      shots.push(shot);
      for (const take of shot.takes) takes.set(take.id, take);
    }
  }
  const storyboards = data.storyboards.map((each) => each.name);
  return { data, shots, takes, storyboards, models: distinct(shots.flatMap((s) => s.versions.map((v) => v.model))) };
}

// Sets what a run just said about takes in flight, by fingerprint, on those that the data call pending; returns the shots
// that have changed. A take that is in flight no longer keeps its last state until newer data come.
export function applyStates(model, states) {
  const changed = new Set();
  for (const [fingerprint, state] of Object.entries(states || {})) {
    const take = model.takes.get(fingerprint);
    if (!take?.isPending || take.status === state || !STATES.includes(state)) continue;
    take.status = state;
    changed.add(take.shot);
  }
  return changed;
}

function makeTake(raw, version, shot) {
  const id = raw.fp || `${shot.key}#${raw.n ?? "row"}`;
  const status = raw.status === "pending" && raw.state ? raw.state : raw.status;
  const clips = (raw.clips || []).map(filesOf);
  return { measures: {}, ...raw, clips, id, status, version, shot, label: labelOf(raw, version, shot), isPending: raw.status === "pending" };
}

// Files of a clip, named as they are in the page's folder.
function filesOf({ sha, suffix, strip, problem }) {
  const name = `media/${sha}`;
  return {
    problem,
    src: suffix && name + suffix,
    poster: strip && `${name}.poster.jpg`,
    strip: strip && [`${name}.strip.jpg`, ...strip],
  };
}

function labelOf(take, version, shot) {
  if (take.n == null) return "row";
  return shot.versions.length > 1 ? `v${version.n} take ${take.n}` : `take ${take.n}`;
}

const textOf = (shot) =>
  [shot.id, shot.storyboard, ...shot.versions.flatMap((v) => [v.prompt, v.model, v.image]),
    ...shot.takes.map((t) => t.error)].filter(Boolean).join("\n").toLowerCase();

const distinct = (values) => [...new Set(values.filter(Boolean))];

export const FILTERS = ["q", "storyboard", "status", "decision", "check", "model"];

export const SORTS = {
  manifest: "manifest order",
  newest: "newest first",
  slowest: "slowest first",
  dearest: "most spent first",
  likeness: "least like the still first",
};

const spent = (take) => take.charged_usd != null ? take.charged_usd - (take.refunded_usd || 0) : take.quoted_usd || 0;

const _keys = {
  newest: (shot) => Math.max(...shot.takes.map((t) => Date.parse(t.completed_at || t.submitted_at || 0) || 0)),
  slowest: (shot) => Math.max(...shot.takes.map((t) => t.inference_ms || 0)),
  dearest: (shot) => shot.takes.reduce((sum, take) => sum + spent(take), 0),
  likeness: (shot) => -Math.min(...shot.takes.map((t) => t.measures.first_frame_similarity ?? 2)),
};

export { spent };

export function takeFits(take, view, decisionOf) {
  if (view.status && !view.status.includes(take.status)) return false;
  if (view.check) {
    const flags = [...(take.qa || []), ...(take.nsfw ? ["nsfw"] : [])];
    if (!flags.some((flag) => view.check.includes(flag) || view.check.includes("any"))) return false;
  }
  if (view.decision) {
    const decision = decisionOf(take).decision || "undecided";
    if (!view.decision.includes(decision)) return false;
  }
  return !view.model || view.model.includes(take.version.model);
}

export function shotsInOrder(model, view) {
  const key = _keys[view.sort];
  if (!key) return model.shots;
  return model.shots.map((shot) => [key(shot), shot]).sort((a, b) => b[0] - a[0] || a[1].index - b[1].index)
    .map(([, shot]) => shot);
}

export function visibleShots(model, view, decisionOf) {
  const words = (view.q || "").toLowerCase().split(/\s+/).filter(Boolean);
  const asksOfTakes = view.status || view.check || view.decision || view.model;
  const visible = new Set();
  for (const shot of model.shots) {
    if (view.storyboard && !view.storyboard.includes(shot.storyboard)) continue;
    if (!words.every((word) => shot.text.includes(word) || (word.length > 5 && shot.ids.includes(word)))) continue;
    if (asksOfTakes && !shot.takes.some((take) => takeFits(take, view, decisionOf))) continue;
    visible.add(shot.key);
  }
  return visible;
}
