// The state of the view, kept in the address behind `#`, so that a link shows what its sender saw.

const LISTS = ["storyboard", "status", "decision", "check", "model"];
const TEXTS = ["q", "sort", "view", "shot", "take", "beside", "frame", "how"];

export function readView() {
  const given = new URLSearchParams(location.hash.slice(1)), view = {};
  for (const name of LISTS) {
    const values = given.getAll(name);
    if (values.length) view[name] = values;
  }
  for (const name of TEXTS) if (given.get(name)) view[name] = given.get(name);
  return view;
}

export function writeView(view, isStep) {
  const given = new URLSearchParams();
  for (const name of LISTS) for (const value of view[name] || []) given.append(name, value);
  for (const name of TEXTS) if (view[name]) given.set(name, view[name]);
  const hash = `#${given}`;
  if (hash === (location.hash || "#")) return;
  try {
    history[isStep ? "pushState" : "replaceState"](null, "", hash);
  } catch {
    location.hash = hash;
  }
}
