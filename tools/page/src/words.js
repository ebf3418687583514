// Numbers, moments and states in words. Pure.

export const STATUS = {
  completed: "completed",
  failed: "failed",
  rejected: "rejected",
  unknown: "unknown",
  held: "held",
  pending: "not bought yet",
  queued: "queued at WaveSpeed",
  making: "being made",
  invalid: "invalid row",
};
export const DECISION = { approved: "approved", retake: "retake", discarded: "discarded" };
export const CHECK = {
  duration: "its length is not the one asked for",
  size: "its size is not the one asked for",
  aspect: "its shape is not the one asked for",
  first_frame: "its first frame does not look like the still",
  black: "it is black for a while",
  frozen: "its picture stands still for a while",
  cuts: "it has hard cuts",
  undecodable: "it cannot be decoded",
};

const _usd = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD" });
const _fine = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 4 });

export const usd = (amount) => (amount == null ? "" : (Math.abs(amount) < 1 && amount ? _fine : _usd).format(amount));
export const count = (number, noun) => `${number.toLocaleString("en-US")} ${noun}${number === 1 ? "" : "s"}`;
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;

export function seconds(s) {
  if (s == null) return "";
  if (s < 100) return `${s.toFixed(1)} s`;
  const minutes = Math.round(s / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function moment(iso) {
  if (!iso) return "";
  return iso.slice(0, 16).replace("T", " ") + " UTC";
}

export function timecode(frame, fps) {
  const whole = Math.max(Math.round(fps), 1);
  const pad = (n) => String(n).padStart(2, "0");
  const s = Math.floor(frame / whole);
  return `${pad(Math.floor(s / 3600))}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}:${pad(frame % whole)}`;
}

export function quantile(sorted, q) {
  if (!sorted.length) return null;
  const at = (sorted.length - 1) * q, low = Math.floor(at), high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}
