// Keys as reviewers know them. Single letters can be switched off, since speech and slips press them too.

export const KEYS = [
  ["space, K", "play or pause"],
  ["J, L", "backwards, forwards; again: faster"],
  ["← →", "one frame back or on; on the board: the take before or after"],
  ["↑ ↓", "the take before or after; on the board: the shot above or below"],
  ["Home, End", "first or last frame, or take"],
  ["Enter", "open the take that has the focus"],
  ["A, R, D", "approve, ask for a retake, discard; once more takes it back"],
  ["N", "note at this frame; Enter or Esc keeps it, Shift+Enter begins a line"],
  ["C", "put another take beside; once more: wipe"],
  ["F", "full screen"],
  ["/", "search"],
  ["Esc", "close"],
  ["?", "this list"],
];

const STORED = "animatic review letters";

export const letters = {
  get areOn() {
    try {
      return localStorage.getItem(STORED) !== "off";
    } catch {
      return true;
    }
  },
  set areOn(value) {
    try {
      localStorage.setItem(STORED, value ? "on" : "off");
    } catch {
      // a browser that keeps nothing keeps them on
    }
  },
};

const isTyping = (target) => target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]");

export function listen(page) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const isLetter = event.key.length === 1 && event.key !== " ";
    if (isLetter && !letters.areOn) return;
    if (page.isHelpOpen && event.key !== "?") return;
    const done = page.viewer ? inViewer(page, event) : onBoard(page, event);
    if (done) event.preventDefault();
  });
}

function inViewer(page, event) {
  const player = page.player, key = event.key.toLowerCase();
  const isOnSlider = event.target.type === "range";
  if (player) {
    const moves = {
      " ": () => player.toggle(), k: () => player.toggle(), l: () => player.faster(), j: () => player.backwards(),
      arrowleft: () => player.step(-1), arrowright: () => player.step(1),
      home: () => player.step(-Infinity), end: () => player.step(Infinity),
    };
    const isPress = key === " " && event.target.closest?.("button, a") && !event.target.closest(".round");
    if (moves[key] && !(isOnSlider && key.startsWith("arrow") && event.target.closest(".wiper")) && !isPress) {
      moves[key]();
      return true;
    }
  }
  switch (key) {
    case "arrowup": page.step(-1); return true;
    case "arrowdown": page.step(1); return true;
    case "c": page.nextBeside(); return true;
    case "f": fullScreen(page); return true;
    case "n": page.viewer.writeNote(); return true;
    default: return common(page, key, page.openTake);
  }
}

function fullScreen(page) {
  const dialog = page.viewer.dialog.current;
  if (document.fullscreenElement) document.exitFullscreen();
  else dialog.requestFullscreen?.().catch(() => {});
}

function onBoard(page, event) {
  const key = event.key.toLowerCase(), focused = document.activeElement?.closest?.("[data-id]");
  const take = focused && page.model.takes.get(focused.dataset.id);
  if (key.startsWith("arrow") || key === "home" || key === "end") {
    if (event.target.closest?.("input, [role=tablist]") || page.view.view === "charts") return false;
    return moveFocus(key, focused);
  }
  if (key === "/") {
    document.querySelector("#search")?.focus();
    return true;
  }
  if (take && key === " " && !event.target.closest("button, a")) {
    page.open(take);
    return true;
  }
  if (take && key === "n") {
    page.open(take);
    setTimeout(() => page.viewer?.writeNote(), 50);
    return true;
  }
  return common(page, key, take);
}

function common(page, key, take) {
  const decision = { a: "approved", r: "retake", d: "discarded" }[key];
  if (decision && take && take.n != null) {
    page.decide(take, decision);
    return true;
  }
  if (key === "?") {
    page.help();
    return true;
  }
  return false;
}

function moveFocus(key, focused) {
  const shots = [...document.querySelectorAll(".storyboard:not([hidden]) .shot:not([hidden])")];
  if (!shots.length) return false;
  const opens = (shot) => [...shot.querySelectorAll(".open")];
  if (!focused) return focus(opens(shots[0])[0]);
  const shot = focused.closest(".shot"), at = shots.indexOf(shot), inShot = opens(shot);
  const open = focused.querySelector(".open"), place = inShot.indexOf(open);
  switch (key) {
    case "arrowleft": return focus(inShot[place - 1] || (at > 0 && opens(shots[at - 1]).at(-1)));
    case "arrowright": return focus(inShot[place + 1] || (at < shots.length - 1 && opens(shots[at + 1])[0]));
    case "arrowup": return focus(at > 0 && nearest(shots.slice(0, at).reverse(), open, opens));
    case "arrowdown": return focus(at < shots.length - 1 && nearest(shots.slice(at + 1), open, opens));
    case "home": return focus(opens(shots[0])[0]);
    default: return focus(opens(shots.at(-1)).at(-1));
  }
}

// The take in the next row of the screen that is nearest to where the focus is.
function nearest(shots, open, opens) {
  const from = open.getBoundingClientRect(), middle = from.left + from.width / 2;
  let row = null, best = null;
  for (const shot of shots) {
    const top = shot.getBoundingClientRect().top;
    if (Math.abs(top - open.closest(".shot").getBoundingClientRect().top) < 4) continue;
    row ??= top;
    if (Math.abs(top - row) > 4) break;
    for (const each of opens(shot)) {
      const box = each.getBoundingClientRect(), away = Math.abs(box.left + box.width / 2 - middle);
      if (!best || away < best[0]) best = [away, each];
    }
  }
  return best?.[1] || opens(shots[0])[0];
}

function focus(element) {
  if (!element) return false;
  element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest" });
  return true;
}
